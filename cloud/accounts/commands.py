"""`ivizone-cloud merchant ...` and `user ...`: what the operator does with accounts. Links are printed once and kept nowhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from cloud.accounts.accounts import Accounts, Merchant
from cloud.accounts.passwords import Passwords
from cloud.accounts.viewer import MAIN, ROLES

DEFAULT_URL = "http://127.0.0.1:8080"
Command = Callable[..., argparse.ArgumentParser]
Subparsers = Any


def add_commands(commands: Subparsers, command: Command, open_database: Callable[[argparse.Namespace], Any]) -> None:
    """Add the two groups to the parser. ``open_database`` gives the engine and the clock of a data folder."""

    def runs(action: Callable[[Accounts, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
        def run(options: argparse.Namespace) -> int:
            database, now_ms = open_database(options)
            return action(Accounts(database, Passwords(), now_ms), options)

        return run

    group = commands.add_parser("merchant", help="merchants").add_subparsers(required=True, metavar="COMMAND")
    add = command(group, "add", runs(_merchant_add), "add a merchant")
    add.add_argument("merchant", help="short name: a-z, 0-9 and -")
    add.add_argument("--name", help="who answers for the data; stands on the sign (default: the short name)")
    add.add_argument("--contact", default="", help="where people write to; stands on the sign")
    command(group, "ls", runs(_merchant_ls), "list the merchants")

    group = commands.add_parser("user", help="people who sign in").add_subparsers(required=True, metavar="COMMAND")
    add = command(group, "add", runs(_user_add), "add a person and print the link by which they choose a password")
    add.add_argument("--merchant", default=MAIN, help=f"short name of the merchant (default {MAIN})")
    add.add_argument("--role", choices=ROLES, default="owner", help="default owner")
    reset = command(
        group, "reset", runs(_user_reset), "print a new link to choose a password by, good once within a day"
    )
    for made in (add, reset):
        made.add_argument("login", help="what they sign in with, such as an e-mail address")
        made.add_argument("--url", default=DEFAULT_URL, help=f"of the pages, for the link (default {DEFAULT_URL})")
    ls = command(group, "ls", runs(_user_ls), "list the people")
    ls.add_argument("--merchant", help="only of this merchant")
    remove = command(group, "remove", runs(_user_remove), "remove a person; their sessions end")
    remove.add_argument("login")


def _merchant_add(accounts: Accounts, options: argparse.Namespace) -> int:
    merchant = Merchant(options.merchant, options.name or options.merchant, options.contact)
    accounts.add_merchant(merchant)
    print(
        f"merchant {merchant.merchant} added; add its owner with: ivizone-cloud user add NAME --merchant {merchant.merchant}"
    )
    return 0


def _merchant_ls(accounts: Accounts, _options: argparse.Namespace) -> int:
    for merchant in accounts.merchants():
        print(f"{merchant.merchant:24} {merchant.name}")
    return 0


def _user_add(accounts: Accounts, options: argparse.Namespace) -> int:
    print(_link(options.url, accounts.add_user(options.login, options.merchant, options.role)))
    return 0


def _user_reset(accounts: Accounts, options: argparse.Namespace) -> int:
    print(_link(options.url, accounts.reset(options.login)))
    return 0


def _link(url: str, secret: str) -> str:
    return f"{url.rstrip('/')}/welcome/{secret}"


def _user_ls(accounts: Accounts, options: argparse.Namespace) -> int:
    for user in accounts.users(options.merchant):
        state = "" if user.has_password else "no password yet"
        print(f"{user.login:32} {user.role:10} {user.merchant:24} {state}".rstrip())
    return 0


def _user_remove(accounts: Accounts, options: argparse.Namespace) -> int:
    accounts.remove_user(options.login)
    print(f"{options.login} removed; their sessions have ended")
    return 0
