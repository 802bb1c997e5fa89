"""What operators do to stored data: rebuild tables, send dead letters again, erase pages."""
