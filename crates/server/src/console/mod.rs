//! The console: pages for people, made from the wire types of the API and nothing else.
//!
//! `pages` are functions from those types to HTML, `frame` is what stands around every page, `parts` are the
//! small things they share, `assets` the files inside the binary. It works without scripts; scripts make it
//! live. The rule that keeps it right: a page only shows, and every change is a form with the session's
//! token, decided upon where the API decides.

pub mod assets;
pub mod frame;
pub mod memory;
pub mod pages;
pub mod parts;
