"""An installation on this machine: its services as child processes, their addresses, its preparation."""
