#!/bin/sh
# Beanstalk sends the log of the process called web to CloudWatch, and of no other: those of the consumer and the analyst go with them here.
# Without them the instance serves all the same, so what goes wrong is said and stops no deployment.
set -u
agent=${IVIZONE_LOG_AGENT:-/opt/aws/amazon-cloudwatch-agent}
[ -x "$agent/bin/amazon-cloudwatch-agent-ctl" ] || exit 0
environment=$("${IVIZONE_GET_CONFIG:-/opt/elasticbeanstalk/bin/get-config}" container -k environment_name) || exit 0
group=/aws/elasticbeanstalk/$environment/var/log
cat >"$agent/etc/ivizone.json" <<JSON
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/consumer.stdout.log", "log_group_name": "$group/consumer.stdout.log", "log_stream_name": "{instance_id}", "retention_in_days": 30},
  {"file_path": "/var/log/analyst.stdout.log", "log_group_name": "$group/analyst.stdout.log", "log_stream_name": "{instance_id}", "retention_in_days": 30}
]}}}}
JSON
"$agent/bin/amazon-cloudwatch-agent-ctl" -a append-config -m ec2 -s -c "file:$agent/etc/ivizone.json" ||
  echo "ivizone: the logs of consumer and analyst stay on this instance" >&2
exit 0
