//! A picture of the tables in docs/BENCHMARKS.md: calls a second of each server, the bare one's as 1.

use std::{fs, path::PathBuf};

use clap::Args;
use plotters::prelude::*;

/// What is drawn.
#[derive(Args, Clone)]
pub struct Plan {
    /// The file with the tables
    from: PathBuf,
    /// The SVG
    to: PathBuf,
}

/// A kind of call, and what each server came to.
struct Group {
    title: String,
    servers: Vec<Server>,
}

struct Server {
    name: String,
    /// Calls a second.
    rate: f64,
    /// Of the bare one's, in the same rounds.
    ratio: f64,
}

const WIDTH: u32 = 880;
const MARGIN: i32 = 20;
/// Names stand left of the bars, figures right of them.
const NAMES: i32 = 90;
const FIGURES: i32 = 190;
const BAR: i32 = 22;
const GAP: i32 = 6;
const TITLE: i32 = 34;

/// Draws.
pub fn draw(plan: &Plan) -> anyhow::Result<()> {
    let text = fs::read_to_string(&plan.from)?;
    let groups = groups(&text);
    anyhow::ensure!(!groups.is_empty(), "{} has no tables of calls", plan.from.display());
    let bars: usize = groups.iter().map(|group| group.servers.len()).sum();
    let height = 2 * MARGIN + i32::try_from(groups.len())? * TITLE + i32::try_from(bars)? * (BAR + GAP);
    let root = SVGBackend::new(&plan.to, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    // White, so that it can be read on a dark page too.
    root.fill(&WHITE)?;
    let mut top = MARGIN;
    for group in &groups {
        let title = ("sans-serif", 16, FontStyle::Bold).into_font();
        root.draw(&Text::new(group.title.clone(), (MARGIN, top + 8), title))?;
        top += TITLE;
        for Server { name, rate, ratio } in &group.servers {
            let left = MARGIN + NAMES;
            let right = left + width(*ratio);
            let color = color(name);
            root.draw(&Rectangle::new([(left, top), (right, top + BAR)], color.filled()))?;
            let font = ("sans-serif", 14).into_font();
            root.draw(&Text::new(name.clone(), (MARGIN, top + 4), font.clone()))?;
            let digits = if *ratio < 0.01 { 3 } else { 2 };
            let figure = format!("{rate:.0} calls/s ({ratio:.digits$})");
            root.draw(&Text::new(figure, (right + 8, top + 4), font))?;
            top += BAR + GAP;
        }
    }
    root.present()?;
    Ok(())
}

/// The tables of closed loops: in an open one every server answers what is sent.
fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some((title, _)) = line.split_once(", median of ") {
            open = !title.contains("/s on ");
            if open {
                let title = title.to_owned();
                groups.push(Group {
                    title,
                    servers: Vec::new(),
                });
            }
        } else if !line.starts_with('|') {
            open = false;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, rate, ratio, _, _, _, ""] = cells[..]
            && let (true, Ok(rate), Ok(ratio), Some(group)) = (open, rate.parse(), ratio.parse(), groups.last_mut())
        {
            let name = name.to_owned();
            group.servers.push(Server { name, rate, ratio });
        }
    }
    groups
}

/// A bar of the bare server takes what names and figures leave.
#[expect(clippy::cast_possible_truncation, reason = "a picture is smaller")]
fn width(ratio: f64) -> i32 {
    let whole = i32::try_from(WIDTH).unwrap() - 2 * MARGIN - NAMES - FIGURES;
    ((f64::from(whole) * ratio).round() as i32).clamp(1, whole + MARGIN)
}

fn color(server: &str) -> RGBColor {
    match server {
        "Core" => RGBColor(29, 113, 184),
        "Control" => RGBColor(150, 160, 170),
        _ => RGBColor(208, 118, 48),
    }
}
