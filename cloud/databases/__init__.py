"""Where sites, access points and figures are kept: tables (SQLAlchemy Core), migrations (Alembic), adapters."""

# Every table is known, whichever module is asked first.
from cloud.databases import people_tables as people_tables
from cloud.databases import portal_tables as portal_tables
from cloud.databases import privacy_tables as privacy_tables
