"""The configuration of the AWS composition: every mistake is a line that names key, value and what is allowed."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cloud.config import CloudConfig, CloudConfigError, load_cloud_config, parse_cloud_config, require


def parsed(content: str, **environment: str) -> CloudConfig:
    return parse_cloud_config(content, "cloud.yaml", environment)


def test_an_empty_file_is_the_defaults():
    assert parsed("") == CloudConfig() == load_cloud_config(None, {})


def test_what_the_file_says_holds_and_the_environment_wins():
    content = "stream:\n  name: batches\n  lanes: 2\nconsumer:\n  seconds: 5\n"

    config = parsed(
        content,
        IVIZONE_STREAM_LANES="8",
        IVIZONE_DATABASE_URL="postgresql://x",
        IVIZONE_CONSUMER_FAILOVER_S="4",
        PATH="/bin",
    )
    assert (config.stream.name, config.stream.lanes, config.consumer.seconds) == ("batches", 8, 5.0)
    assert (config.database.url, config.consumer.failover_s) == ("postgresql://x", 4.0)


MISTAKES = {
    "stream:\n  lanes: 0\n": "cloud.yaml: stream.lanes is 0; use a whole number from 1 to 32",
    "stream:\n  lanes: 2.5\n": "cloud.yaml: stream.lanes is 2.5; use a whole number from 1 to 32",
    "stream:\n  lanes: true\n": "cloud.yaml: stream.lanes is True; use a whole number from 1 to 32",
    "stream:\n  append_s: soon\n": "cloud.yaml: stream.append_s is 'soon'; use a number from 0.5 to 60",
    "stream:\n  name: 5\n": "cloud.yaml: stream.name is 5; use text, in quotes where it looks like something else",
    "consumer:\n  metrics: ALL\n": "cloud.yaml: consumer.metrics is 'ALL'; use NONE or SUMMARY or DETAILED",
    "stream:\n  lane: 2\n": "cloud.yaml: stream.lane is unknown; did you mean 'lanes'? allowed: name, lanes, append_s, retention_h",
    "streams: {}\n": "cloud.yaml: streams is unknown; did you mean 'stream'? allowed: aws, stream, store, database, consumer, analytics",
    "stream: 5\n": "cloud.yaml: stream is 5; use keys with values",
    "- a\n": "cloud.yaml: the file is ['a']; use keys with values",
    "a: [\n": "cloud.yaml, line 2: is not YAML",
}


@pytest.mark.parametrize("content", MISTAKES)
def test_a_mistake_is_named(content):
    with pytest.raises(CloudConfigError) as caught:
        parsed(content)

    assert str(caught.value).startswith(MISTAKES[content])


def test_a_mistake_in_the_environment_is_named_and_all_mistakes_are_said_at_once():
    with pytest.raises(CloudConfigError) as caught:
        parsed("store:\n  bucket: 7\n", IVIZONE_STREAM_LANES="many")

    assert str(caught.value).splitlines() == [
        "IVIZONE_STREAM_LANES is 'many'; use a whole number from 1 to 32",
        "cloud.yaml: store.bucket is 7; use text, in quotes where it looks like something else",
    ]


def test_a_secret_is_never_printed():
    with pytest.raises(CloudConfigError) as caught:
        parsed("database:\n  url: [hunter2]\n")

    assert "hunter2" not in str(caught.value) and "database.url is not printed" in str(caught.value)


def test_what_a_command_needs_and_is_empty_is_said_with_both_ways_to_give_it():
    with pytest.raises(CloudConfigError, match=r"store\.bucket.*IVIZONE_STORE_BUCKET"):
        require(CloudConfig(), "store.bucket", "stream.name")
    require(CloudConfig(), "stream.name")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(CloudConfigError, match="--config FILE"):
        load_cloud_config(tmp_path / "none.yaml", {})


def test_every_option_says_what_it_means_and_its_default_is_allowed():
    from cloud.config import problem_with

    for section in fields(CloudConfig):
        for option in fields(getattr(CloudConfig(), section.name)):
            assert option.metadata["meaning"], option.name
            assert problem_with(option, option.default) == "", option.name
