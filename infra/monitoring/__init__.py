"""What is measured and watched: metric definitions, Prometheus rules, Grafana dashboards."""
