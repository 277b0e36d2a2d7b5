//! Whoever sees less well reads the page too: contrast as WCAG 2.1 measures it, AA.

use std::collections::BTreeMap;

use super::super::STYLE;

/// The colours by name, for light and for dark.
fn themes() -> Vec<BTreeMap<&'static str, [f64; 3]>> {
    STYLE
        .split(":root {")
        .skip(1)
        .map(|block| {
            let declarations = block.split('}').next().unwrap().split(';');
            declarations
                .filter_map(|one| one.split_once(':'))
                .filter_map(|(name, value)| Some((name.trim(), value.trim().strip_prefix('#')?)))
                .map(|(name, value)| (name, channels(value)))
                .collect()
        })
        .collect()
}

fn channels(hex: &str) -> [f64; 3] {
    let long: String = match hex.len() {
        3 => hex.chars().flat_map(|digit| [digit, digit]).collect(),
        _ => hex.to_owned(),
    };
    let number = u32::from_str_radix(&long, 16).unwrap();
    [16, 8, 0].map(|bits| f64::from((number >> bits) & 0xff) / 255.0)
}

fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] = colour.map(|share| {
        if share <= 0.03928 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_and_bars_stand_out_by_day_and_by_night() {
    let themes = themes();
    assert_eq!(themes.len(), 2);
    for theme in themes {
        let least = |foreground: &str, ground: &str, least: f64| {
            let of = |name: &str| theme[format!("--{name}").as_str()];
            let found = contrast(of(foreground), of(ground));
            assert!(found >= least, "{foreground} on {ground}: {found:.2}");
        };
        for text in ["ink", "soft", "link"] {
            for ground in ["ground", "card", "calm-ground"] {
                least(text, ground, 4.5);
            }
        }
        for meaning in ["good", "warn", "bad", "calm"] {
            least(meaning, &format!("{meaning}-ground"), 4.5);
            // What is drawn, not written.
            least(meaning, "rest", 3.0);
            least(meaning, "card", 3.0);
        }
    }
}
