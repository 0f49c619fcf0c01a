"""The costs are arithmetic on a file that anybody can change, and the words of a deployment come from the template."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from cloud import aws_costs
from cloud.aws_costs import bill, instances, json_stream_usd, load_prices, table
from cloud.aws_stack import load_template, values
from cloud.cli import main
from cloud.config import CloudConfigError

NEEDED = ("--parameter", "CertificateArn=arn:aws:acm:eu-west-1:1:certificate/x", "--parameter", "BundleBucket=bundles")
READY = (*NEEDED, "--parameter", "DatabaseReady=yes")


@pytest.fixture(scope="module")
def known():
    return load_prices()


def usd(known, stores, name, **options):
    return next(item.usd for item in bill(known, stores, **options) if item.name == name)


def test_kinesis_is_the_stream_hour_and_every_batch_rounded_up_to_a_kilobyte(known):
    """100 stores x 3 access points x 2,880 batches x 30.4 days x 1,024 bytes = 26.9 GB, in and out."""
    gigabytes = 100 * 3 * 2880 * (730 / 24) * 1024 / 1e9
    assert usd(known, 100, "Kinesis") == pytest.approx(730 * 0.04 + gigabytes * 0.12)


def test_half_the_seconds_are_twice_the_requests(known):
    assert usd(known, 1000, "S3 requests", consumer_s=150) == pytest.approx(
        2 * usd(known, 1000, "S3 requests", consumer_s=300)
    )


def test_a_store_costs_less_where_there_are_more(known):
    each = [sum(item.usd for item in bill(known, stores)) / stores for stores in aws_costs.SCALES]
    assert all(more > less for more, less in pairwise(each))
    assert instances(known, 1) == 2, "one may go"


def test_records_of_json_cost_the_stream_more_at_every_scale(known):
    for stores in aws_costs.SCALES:
        assert json_stream_usd(known, stores) > usd(known, stores, "Kinesis")


def test_every_price_moves_the_bill_so_none_stands_there_in_vain(known):
    """But for Spark's, which is paid by the job."""
    before = [sum(item.usd for item in bill(known, stores)) for stores in aws_costs.SCALES]
    for name, price in known.prices.items():
        changed = replace(known, prices={**known.prices, name: price * 10})
        after = [sum(item.usd for item in bill(changed, stores)) for stores in aws_costs.SCALES]
        assert (after != before) is (not name.startswith("spark_")), name


def test_every_price_says_where_it_is_from_and_of_when(known):
    assert all(source.endswith(")") and "(20" in source for source in known.sources.values())
    assert known.collected and known.region


def test_the_table_stands_in_the_operators_paper_as_it_is_computed(known):
    from pathlib import Path

    paper = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    assert table(known) in paper, "run: ivizone-cloud aws costs, and put it there"


def test_a_file_that_is_no_list_of_prices_is_an_error_with_the_next_step(tmp_path):
    (tmp_path / "prices.yaml").write_text("prices: 3")
    with pytest.raises(CloudConfigError, match=r"take deploy/aws/prices\.yaml"):
        load_prices(tmp_path / "prices.yaml")
    with pytest.raises(CloudConfigError, match="cannot be read"):
        load_prices(tmp_path / "none.yaml")


def test_dry_run_says_in_words_what_it_would_create_and_what_that_costs(capsys):
    assert main(["aws", "deploy", "--dry-run", *NEEDED, "--stores", "100"]) == 0
    said = capsys.readouterr().out
    assert "PostgreSQL in two zones" in said and "stream of batches, on demand" in said
    assert "a store and month" in said and "Nothing was created" in said
    assert "outlives the stack" in said
    assert "Beanstalk environment" not in said and "No instance yet" in said


def test_an_environment_comes_once_the_database_has_its_roles(capsys):
    """Instances whose migration fails would take the whole stack back with them."""
    assert main(["aws", "deploy", "--dry-run", *READY]) == 0
    said = capsys.readouterr().out
    assert "1  Beanstalk environment" in said and "No instance yet" not in said


def test_dry_run_counts_gateways_as_asked_and_says_where_costs_are_of_another_size(capsys):
    assert main(["aws", "deploy", "--dry-run", *NEEDED, "--parameter", "NatGateways=3", "--stores", "5000"]) == 0
    said = capsys.readouterr().out
    assert "  3  NAT gateway" in said
    assert "The costs are of db.r6g.2xlarge and DatabaseClass is db.t4g.medium." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "CertificateArn has no default"),
        ((*NEEDED, "--parameter", "Colour=red"), "parameter Colour is unknown"),
        ((*NEEDED, "--parameter", "Prefix"), "write NAME=VALUE"),
        ((*NEEDED, "--bundle", "none.zip"), "make package-aws"),
        ((*NEEDED, "--template", "none.yaml"), "--template"),
    ],
)
def test_a_mistake_is_named_before_anything_is_asked_of_aws(capsys, words, said):
    assert main(["aws", "deploy", "--dry-run", *words]) == 3
    assert said in capsys.readouterr().err


def test_every_value_of_the_template_is_text_as_cloudformation_wants_it():
    found = values(load_template(), {"CertificateArn": "a", "BundleBucket": "b"})
    assert all(isinstance(value, str) for value in found.values())
