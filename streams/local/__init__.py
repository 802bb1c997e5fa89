"""An installation on this machine: services as child processes, their addresses, preparation."""
