"""The parts that every process of an installation uses: settings, metrics, logs, traces."""
