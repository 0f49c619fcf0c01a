"""Where sites, access points and figures are kept: tables (SQLAlchemy Core), migrations (Alembic), adapters."""

from cloud.databases import portal_tables as portal_tables  # every table is known, whichever module is asked first
