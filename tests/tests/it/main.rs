//! The gateway from the outside: the real program, with plain sockets on both sides.
// A test says what is wrong by panicking, and nobody reads the documentation of this program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod admin;
mod admin_clients;
mod balancers;
mod batch;
mod bodies;
mod browser;
mod buffered_bodies;
mod cases;
mod changes;
mod closing;
mod connections;
mod differences;
mod fields;
mod graphql_costs;
mod health;
mod hostile_request;
mod hostile_response;
mod http2;
mod http2_limits;
mod http2_malformed;
mod inspect;
mod inspected_bodies;
mod lifecycle;
mod limited_connections;
mod limits;
mod listed_addresses;
mod migrate;
mod mirror;
mod nginx_limits;
mod nodes;
mod openapi_answers;
mod openapi_fetched;
mod pace;
mod prometheus;
mod protection;
mod redis_away;
mod redis_limits;
mod routers;
mod routes;
mod sealing;
mod settings;
mod standalone;
mod traffic_split;
mod variables;
