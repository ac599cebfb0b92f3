//! Rounds, figures, and the table.
//!
//! A pair is measured in turn (ours, peer, ours, peer, ...), so that whatever slows the machine for a while slows both; the
//! ratio is taken of each round, and its median and extremes are told. A ratio above 1 always means that ours is better.

use std::fmt;

use anyhow::{Context as _, Result};

/// How much is measured: `--quick` for a look, the whole for figures to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) quick: bool,
}

impl Effort {
    pub(crate) fn pick<T>(self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// The figures of one contender, one for each round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// Nearest rank; 0 where nothing was measured.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// Round by round.
    pub(crate) fn with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        self.0.iter().zip(&other.0).map(|(one, other)| combine(*one, *other)).collect()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// One round of one contender: `K` figures.
pub(crate) type Round<'r, const K: usize> = &'r mut dyn FnMut() -> Result<[f64; K]>;

/// A round of each contender in turn, `rounds` times, after `warm_up` rounds that do not count. The figures of each
/// contender, in their order.
pub(crate) fn alternate<const K: usize>(
    warm_up: usize,
    rounds: usize,
    contenders: &mut [Round<'_, K>],
) -> Result<Vec<[Series; K]>> {
    let mut measured: Vec<[Series; K]> = contenders.iter().map(|_| [(); K].map(|()| Series::default())).collect();
    for round in 0..warm_up + rounds {
        for (contender, series) in contenders.iter_mut().zip(&mut measured) {
            let figures = contender().with_context(|| format!("round {round}"))?;
            if round >= warm_up {
                series.iter_mut().zip(figures).for_each(|(series, figure)| series.0.push(figure));
            }
        }
    }
    Ok(measured)
}

/// What a figure is, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is better.
    PerSecond,
    /// Less is better.
    Seconds,
    /// Less is better.
    Bytes,
}

/// What was to be reached, and whether it was.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) said: String,
    pub(crate) met: bool,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    case: String,
    unit: Unit,
    ours: Series,
    peer: Option<(String, Series)>,
    goal: Option<Goal>,
}

impl Row {
    pub(crate) fn new(case: impl Into<String>, unit: Unit, ours: &Series) -> Self {
        Self { case: case.into(), unit, ours: ours.clone(), peer: None, goal: None }
    }

    pub(crate) fn against(mut self, peer: impl Into<String>, figures: &Series) -> Self {
        self.peer = Some((peer.into(), figures.clone()));
        self
    }

    /// Of the median ratio.
    pub(crate) fn ratio_at_least(mut self, least: f64) -> Self {
        let met = self.ratio().is_some_and(|ratio| ratio.median() >= least);
        self.goal = Some(Goal { said: format!("ratio ≥ {least}"), met });
        self
    }

    /// Of our median.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.goal = Some(Goal { said: format!("≤ {}", shown(self.unit, most)), met: self.ours.median() <= most });
        self
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// How many times better ours is, round by round.
    pub(crate) fn ratio(&self) -> Option<Series> {
        let (_, peer) = self.peer.as_ref()?;
        Some(match self.unit {
            Unit::PerSecond => self.ours.with(peer, |ours, peer| ours / peer),
            Unit::Seconds | Unit::Bytes => self.ours.with(peer, |ours, peer| peer / ours),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = |series: &Series| spread(series, |figure| shown(self.unit, figure));
        let (peer, theirs) =
            self.peer.as_ref().map_or_else(Default::default, |(name, series)| (&**name, figures(series)));
        let ratio = self.ratio().map(|ratio| spread(&ratio, factor)).unwrap_or_default();
        let goal = match &self.goal {
            Some(goal) if goal.met => format!("{}: met", goal.said),
            Some(goal) => format!("{}: **missed**", goal.said),
            None => String::new(),
        };
        write!(f, "| {} | {} | {peer} | {theirs} | {ratio} | {goal} |", self.case, figures(&self.ours))
    }
}

/// A ratio; a small one with the figures that count.
fn factor(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// `median (least to most)`.
fn spread(series: &Series, shown: impl Fn(f64) -> String) -> String {
    let sorted = series.sorted();
    match sorted.as_slice() {
        [least, .., most] => format!("{} ({} to {})", shown(series.median()), shown(*least), shown(*most)),
        _ => shown(series.median()),
    }
}

/// With three figures, in the unit that suits it.
pub(crate) fn shown(unit: Unit, figure: f64) -> String {
    let scales: &[(f64, &str)] = match unit {
        Unit::PerSecond => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        Unit::Seconds => &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
        Unit::Bytes => &[(1_048_576.0, "MiB"), (1_024.0, "KiB"), (1.0, "B")],
    };
    let fits = scales.iter().find(|(scale, _)| figure.abs() >= *scale).or(scales.last());
    let (scale, name) = fits.copied().unwrap_or((1.0, ""));
    let scaled = figure / scale;
    let decimals = match scaled {
        scaled if scaled >= 99.95 => 0,
        scaled if scaled >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$} {name}")
}

/// What one bench has to say.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) rows: Vec<Row>,
    /// What a reader must know of the figures.
    pub(crate) notes: Vec<String>,
}

impl Section {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(f, "| case | ours | peer | peer's | ratio | goal |\n|---|---|---|---|---|---|")?;
        }
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        for note in &self.notes {
            writeln!(f, "\n- {note}")?;
        }
        Ok(())
    }
}
