#!/bin/sh
# DuckDB's copies of objects: on the instance's encrypted disk, of the application's user only.
set -eu
install -d -o webapp -g webapp -m 700 /var/lib/ivizone /var/lib/ivizone/copies
