//! Partners outside, on loopback: they count every call, fail, stall and refuse.
