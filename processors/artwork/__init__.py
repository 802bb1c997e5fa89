"""Drawings of the designs' pictures, as SVG. `make pictures` turns them into the files that pages use."""

from processors.artwork import rooms, tables

DRAWINGS = {
    "noodles-hero": tables.noodles_hero,
    "restaurant-hero": tables.restaurant_hero,
    "restaurant-detail": tables.restaurant_detail,
    "beauty-hero": tables.beauty_hero,
    "beauty-detail": tables.beauty_detail,
    "realestate-hero": rooms.realestate_hero,
    "realestate-detail": rooms.realestate_detail,
    "clinic-hero": rooms.clinic_hero,
    "clinic-detail": rooms.clinic_detail,
    "school-hero": tables.school_hero,
    "school-detail": tables.school_detail,
    "shop-hero": tables.shop_hero,
    "shop-detail": tables.shop_detail,
    "counsel-hero": rooms.counsel_hero,
    "counsel-detail": rooms.counsel_detail,
    "generic-hero": rooms.generic_hero,
    "generic-detail": rooms.generic_detail,
}
