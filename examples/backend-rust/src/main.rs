//! A backend beside homing-server: people log in and get tokens, the server asks here who may enter and say
//! what, and the backend publishes by itself. Settings of the server: `examples/backend.toml`.
#![expect(clippy::print_stdout, reason = "its address is its output")]

use axum::{Json, Router, body::Bytes, extract::Path, http::HeaderMap, http::StatusCode, routing};
use homing_server::{auth, hooks::http};
use serde_json::{Value, json};
use std::{collections::HashMap, env, sync::LazyLock, sync::Mutex, time::SystemTime};

/// Name, password and whether they are staff: a stand-in for a database, where passwords would be hashed.
const PEOPLE: [(&str, &str, bool); 2] = [("ada", "lovelace", true), ("bob", "builder", false)];
/// Users by cookie.
static SESSIONS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
/// Requests of hooks that were answered, and when.
static SEEN: LazyLock<Mutex<HashMap<String, i64>>> = LazyLock::new(Mutex::default);

type Answer = Result<Json<Value>, StatusCode>;

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn unix() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs().cast_signed())
}

fn is_staff(user: &str) -> bool {
    PEOPLE.iter().any(|(name, _, staff)| *name == user && *staff)
}

fn user(headers: &HeaderMap) -> Result<String, StatusCode> {
    let cookies = headers.get("cookie").and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    let session = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session=")).unwrap_or_default();
    SESSIONS.lock().ok().and_then(|sessions| sessions.get(session).cloned()).ok_or(StatusCode::UNAUTHORIZED)
}

async fn login(Json(form): Json<Value>) -> Result<([(&'static str, String); 1], Json<Value>), StatusCode> {
    let person =
        PEOPLE.iter().find(|(name, password, _)| form["name"] == *name && form["password"] == *password);
    let (name, ..) = person.ok_or(StatusCode::UNAUTHORIZED)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let cookie = format!("{:032x}", u128::from_be_bytes(random));
    let set = format!("session={cookie}; HttpOnly; SameSite=Lax; Path=/");
    SESSIONS.lock().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.insert(cookie, (*name).to_owned());
    Ok(([("set-cookie", set)], Json(json!({}))))
}

/// A connection token; the client asks for the next one before it expires.
async fn token(headers: HeaderMap) -> Answer {
    let sub = user(&headers)?;
    let info = Some(json!({ "name": sub }));
    let seconds: i64 = setting("TOKEN_SECONDS", "600").parse().unwrap_or(600);
    let claims = auth::Minted { sub, exp: Some(unix() + seconds), info, ..auth::Minted::default() };
    let token = auth::mint(&claims, &setting("TOKEN_SECRET", "change me: tokens"));
    Ok(Json(json!({ "token": token.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)? })))
}

async fn announce(headers: HeaderMap, Json(form): Json<Value>) -> Answer {
    is_staff(&user(&headers)?).then_some(()).ok_or(StatusCode::FORBIDDEN)?;
    let call = json!({ "channel": "chat:lobby", "data": { "name": "The house", "text": form["text"] } });
    let url = format!("{}/publish", setting("HOMING_API", "http://127.0.0.1:8000/api"));
    let request = reqwest::Client::new().post(url).header("x-api-key", setting("API_KEY", "change me: api"));
    let answer = request.json(&call).send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Json(answer.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?))
}

/// What homing-server asks, if it was homing-server that has asked, just now, and for the first time.
async fn hook(Path(hook): Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    let (secret, now) = (setting("HOOK_SECRET", "change me: hooks"), unix());
    let id = http::verify(&secret, now, &headers, &body).map_err(|_| StatusCode::UNAUTHORIZED)?;
    let mut seen = SEEN.lock().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    seen.retain(|_, at| now - *at <= 2 * http::WINDOW);
    seen.insert(id, now).map_or(Ok(()), |_| Err(StatusCode::UNAUTHORIZED))?;
    let mut ask: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let name = ask["user"].as_str().unwrap_or_default();
    let no = |code: u32, message: &str| Ok(Json(json!({ "error": { "code": code, "message": message } })));
    match (&*hook, ask["data"]["text"].as_str()) {
        // chat:staff is for staff, every other room for everybody.
        ("subscribe", _) if ask["channel"] == "chat:staff" && !is_staff(name) => no(403, "for staff"),
        ("subscribe", _) => Ok(Json(json!({ "result": {} }))),
        (_, Some(text)) if text.contains("spam") => no(422, "no spam"),
        (_, Some(_)) if PEOPLE.iter().any(|(known, ..)| *known == name) => {
            ask["data"]["checked"] = true.into();
            Ok(Json(json!({ "result": { "data": ask["data"] } })))
        }
        _ => no(400, "log in, and send a text"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages = Router::new().route("/login", routing::post(login)).route("/token", routing::get(token));
    let pages =
        pages.route("/announce", routing::post(announce)).route("/homing/{hook}", routing::post(hook));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", setting("PORT", "3000"))).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, pages).await?)
}
