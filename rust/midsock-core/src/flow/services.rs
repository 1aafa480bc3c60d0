//! Which ports services listen on.

/// TCP ports of services that are met in the field, besides those of the system range that have none: ascending.
const SERVICES: [u16; 56] = [
    21, 22, 23, 25, 53, 79, 80, 81, 88, 110, 111, 135, 139, 143, 179, 389, 443, 445, 465, 502, 513, 514, 563,
    585, 587, 614, 631, 636, 853, 989, 990, 992, 993, 995, 1080, 1433, 1434, 1883, 2811, 3128, 3268, 3306,
    3389, 5060, 5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8888,
];

/// Whether a service is likely to listen on this TCP port: what tells the server of a connection whose SYN was not seen.
pub fn is_service(port: u16) -> bool {
    SERVICES.binary_search(&port).is_ok() || port == 20_000
}
