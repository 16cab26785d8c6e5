//! Profiles of arrivals: which class comes how often, in which shape, and what is promised to it.
