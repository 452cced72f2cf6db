//! Numbers for messages and tables.

/// Formats a number with three significant digits, at most six decimals and no trailing zeros.
///
/// ```
/// assert_eq!(values::format_number(0.976_562), "0.977");
/// assert_eq!(values::format_number(2.5), "2.5");
/// assert_eq!(values::format_number(-1024.0), "-1024");
/// ```
pub fn format_number(value: f64) -> String {
    let decimals =
        if value == 0.0 || !value.is_finite() { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(0, 6) };
    let text = format!("{value:.*}", decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
