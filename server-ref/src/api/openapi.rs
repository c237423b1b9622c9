//! The OpenAPI description of the HTTP API, made from the types that requests are read into and results are
//! written from.

use super::{Method, request, result};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

impl Method {
    const fn summary(self) -> &'static str {
        match self {
            Self::Publish => "Publish a message to a channel",
            Self::Broadcast => "Publish the same message to many channels",
            Self::Subscribe => "Subscribe a user's connections to a channel",
            Self::Unsubscribe => "End a user's subscriptions to a channel",
            Self::Disconnect => "End a user's connections",
            Self::Refresh => "Say when a user's connections expire",
            Self::Presence => "Who is in a channel",
            Self::PresenceStats => "How many are in a channel",
            Self::History => "Read a page of a channel's history",
            Self::HistoryRemove => "Drop a channel's history",
            Self::Channels => "Channels that somebody is subscribed to",
            Self::Info => "How each node is",
            Self::Batch => "Several commands in one request",
        }
    }

    fn schemas(self, schemas: &mut SchemaGenerator) -> (Schema, Schema) {
        fn both<A: JsonSchema, B: JsonSchema>(schemas: &mut SchemaGenerator) -> (Schema, Schema) {
            (schemas.subschema_for::<A>(), schemas.subschema_for::<B>())
        }
        match self {
            Self::Publish => both::<request::Publish<'_>, result::Published>(schemas),
            Self::Broadcast => both::<request::Broadcast<'_>, result::Broadcasted>(schemas),
            Self::Subscribe => both::<request::Subscribe<'_>, result::Told>(schemas),
            Self::Unsubscribe => both::<request::Unsubscribe, result::Told>(schemas),
            Self::Disconnect => both::<request::Disconnect, result::Told>(schemas),
            Self::Refresh => both::<request::Refresh, result::Told>(schemas),
            Self::Presence => both::<request::OfChannel<'_>, result::Presence<'_>>(schemas),
            Self::PresenceStats => both::<request::OfChannel<'_>, result::PresenceStats>(schemas),
            Self::History => both::<request::History<'_>, result::History<'_>>(schemas),
            Self::HistoryRemove => both::<request::OfChannel<'_>, result::Done>(schemas),
            Self::Channels => both::<request::Channels, result::Channels>(schemas),
            Self::Info => both::<request::Info, result::Info>(schemas),
            Self::Batch => both::<request::Batch<'_>, result::Done>(schemas),
        }
    }
}

/// The description, for an API whose methods stand under `prefix`.
#[must_use]
pub fn openapi(prefix: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let error = schemas.subschema_for::<result::Error>();
    let mut paths = Map::new();
    let mut replies = Map::from_iter([("error".to_owned(), json!(error))]);
    for method in Method::ALL {
        let (takes, gives) = method.schemas(&mut schemas);
        let answer = match method {
            Method::Batch => {
                let one = json!({ "type": "object", "maxProperties": 1, "properties": replies });
                json!({ "replies": { "type": "array", "items": one } })
            }
            _ => json!({ "result": gives }),
        };
        replies.insert(method.name().to_owned(), json!(gives));
        let mut answer = answer;
        answer["error"] = json!(error);
        let answer = json!({ "type": "object", "properties": answer });
        let operation = json!({
            "operationId": method.name(),
            "summary": method.summary(),
            "requestBody": { "required": true, "content": { "application/json": { "schema": takes } } },
            "responses": {
                "200": {
                    "description": "What it came to: a result, or an error",
                    "content": { "application/json": { "schema": answer } },
                },
                "401": { "description": "The key is missing or wrong" },
            },
        });
        paths.insert(format!("{prefix}/{}", method.name()), json!({ "post": operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Homing's HTTP API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What an application's backend asks of the server. Errors come with status 200.",
        },
        "security": [{ "key": [] }, { "authorization": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "authorization": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`apikey <key>`",
                },
            },
        },
    })
}
