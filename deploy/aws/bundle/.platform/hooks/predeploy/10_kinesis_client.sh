#!/bin/sh
# Java and the Kinesis Client Library, where this environment reads the stream with it (docs/adr/0013-kinesis.md).
set -eu
consumer=$(/opt/elasticbeanstalk/bin/get-config environment -k IVIZONE_CONSUMER 2>/dev/null || echo consume)
[ "$consumer" = kcl ] || exit 0
command -v java >/dev/null || dnf install -y -q java-17-amazon-corretto-headless
for folder in /var/app/venv/*/bin; do
  "$folder/python3" -c 'import amazon_kclpy' 2>/dev/null || "$folder/python3" -m pip install --quiet 'amazon-kclpy==3.1.3'
done
