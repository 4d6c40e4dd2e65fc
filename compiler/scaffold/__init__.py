"""New packages for targets and backends, from templates."""
