//! Real numbers as SQL that every version of SQLite reads back bit for bit.
//!
//! SQLite reads decimals in its own way, which differs between versions and is wrong by one unit in the last
//! place for some numbers. A decimal is written where any sane reading is right; all other numbers are written
//! as a product that is exact at every step.

use std::fmt::Write;

/// Up to so many digits are a whole number that is exact, times a power of ten that is exact.
const DIGITS_MAX: usize = 15;
const POWER_MAX: i32 = 22;
/// Farther from the number, a reading that rounds twice may end at its neighbour.
const UNITS_MAX: f64 = 0.49;
/// The largest power of two that is written at once.
const STEP: u32 = 32;
const STEP_TEXT: &str = "4294967296.0";

/// Writes a number as a literal, or as an expression.
pub(super) fn literal(number: f64, out: &mut String) {
    let written = if number.is_infinite() {
        write!(out, "{}9e999", if number < 0.0 { "-" } else { "" })
    } else if is_plain(number) {
        // `{:?}` is the shortest text that means this number, with a point or an exponent.
        write!(out, "{number:?}")
    } else {
        return exact(number, out);
    };
    written.expect("writing to a string cannot fail");
}

/// Whether the shortest decimal is read as this number by one exact multiplication or division, rounded once
/// or twice.
fn is_plain(number: f64) -> bool {
    let value = number.abs();
    let text = format!("{value:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return false };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let fraction = i32::try_from(digits.len()).unwrap_or(i32::MAX) - 1;
    let (Ok(exponent), Ok(whole)) = (exponent.parse::<i32>(), digits.parse::<f64>()) else { return false };
    let power = exponent - fraction;
    if digits.len() > DIGITS_MAX || power.abs() > POWER_MAX {
        return false;
    }
    let scale = 10_f64.powi(power.abs());
    // What the decimal is beside the number, without a rounding error that matters.
    let beside = if power < 0 {
        let product = value * scale;
        ((product - whole) + value.mul_add(scale, -product)).abs() / scale
    } else {
        whole.mul_add(scale, -value).abs()
    };
    beside <= UNITS_MAX * (value - value.next_down())
}

/// Writes `mantissa * 2^exponent` in steps that never round.
fn exact(number: f64, out: &mut String) {
    const FRACTION_BITS: u32 = 52;
    let bits = number.abs().to_bits();
    let (exponent, fraction) = (bits >> FRACTION_BITS, bits & ((1 << FRACTION_BITS) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | (1 << FRACTION_BITS) };
    let spare = mantissa.trailing_zeros();
    let exponent = i64::try_from(exponent.max(1)).expect("eleven bits fit") - 1075 + i64::from(spare);
    let sign = if number < 0.0 { "-" } else { "" };
    let mut text = format!("({sign}{}*1.0", mantissa >> spare);
    let operator = if exponent < 0 { '/' } else { '*' };
    let mut left = u32::try_from(exponent.unsigned_abs()).expect("an exponent has eleven bits");
    while left >= STEP {
        text.push(operator);
        text.push_str(STEP_TEXT);
        left -= STEP;
    }
    if left > 0 {
        write!(text, "{operator}{}.0", 1_u64 << left).expect("writing to a string cannot fail");
    }
    text.push(')');
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::literal;
    use rusqlite::Connection;

    fn written(number: f64) -> String {
        let mut text = String::new();
        literal(number, &mut text);
        text
    }

    #[track_caller]
    fn assert_reads_back(numbers: impl Iterator<Item = f64>) {
        let db = Connection::open_in_memory().unwrap();
        for number in numbers {
            let text = written(number);
            let read: f64 = db.query_row(&format!("SELECT {text}"), [], |row| row.get(0)).unwrap();
            assert_eq!(read.to_bits(), number.to_bits(), "{number:?} as {text}");
        }
    }

    #[test]
    fn ordinary_numbers_stay_legible() {
        for (number, text) in [(1.0, "1.0"), (0.1, "0.1"), (-19.99, "-19.99"), (1e20, "1e20"), (1e-7, "1e-7")]
        {
            assert_eq!(written(number), text);
        }
    }

    #[test]
    fn numbers_at_the_edges_read_back_bit_for_bit() {
        let numbers = [
            1e-300,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            1.0 / 3.0,
            0.1 + 0.2,
            123_456_789_012_345_680.0,
            9_007_199_254_740_993.0,
            1e23,
            -2.225_073_858_507_201e-308,
        ];
        assert_reads_back(numbers.into_iter());
    }

    #[test]
    fn any_bits_read_back_bit_for_bit() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        };
        let any: Vec<f64> = (0..3000).map(|_| f64::from_bits(next())).filter(|n| !n.is_nan()).collect();
        assert_reads_back(any.into_iter());
        let prices: Vec<f64> =
            (0..3000).map(|_| f64::from(u32::try_from(next() >> 40).unwrap()) / 100.0).collect();
        assert_reads_back(prices.into_iter());
    }
}
