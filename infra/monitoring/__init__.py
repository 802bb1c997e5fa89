"""The monitoring: metric definitions, Prometheus rules, Grafana dashboards."""
