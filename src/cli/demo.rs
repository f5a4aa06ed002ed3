//! The demo
pub async fn demo(_s: &str) -> Result<String, super::Error> {
    Ok(String::new())
}
