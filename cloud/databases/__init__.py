"""Where sites, access points and figures are kept: tables (SQLAlchemy Core), migrations (Alembic), adapters."""
