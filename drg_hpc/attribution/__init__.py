"""Attribution methods and forms."""
