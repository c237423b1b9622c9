//! The table of results: rows in the order in which they were first set, a column for each server, and
//! beside each figure its ratio to the floor's.

use std::fmt;

use crate::server::Kind;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Kib,
    Micros,
    Count,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: Unit,
    figures: Vec<(Kind, f64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn set(&mut self, name: &str, unit: Unit, kind: Kind, figure: f64) {
        let at = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.0.push(Row { name: name.to_owned(), unit, figures: Vec::new() });
            self.0.len() - 1
        });
        self.0[at].figures.push((kind, figure));
    }
}

impl Row {
    fn cell(&self, kind: Kind) -> String {
        let of = |kind| self.figures.iter().find(|(of, _)| *of == kind).map(|(_, figure)| *figure);
        let Some(figure) = of(kind) else { return "-".to_owned() };
        let text = match self.unit {
            Unit::Kib => format!("{figure:.1} KiB"),
            Unit::Micros => format!("{figure:.2} us"),
            Unit::Count => format!("{figure:.0}"),
        };
        match of(Kind::Floor) {
            Some(floor) if floor > 0.0 => format!("{text} ({:.2})", figure / floor),
            _ => text,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<36}", "in parentheses: floor = 1")?;
        for kind in Kind::ALL {
            write!(f, "{:>21}", kind.title())?;
        }
        for row in &self.0 {
            write!(f, "\n{:<36}", row.name)?;
            for kind in Kind::ALL {
                write!(f, "{:>21}", row.cell(kind))?;
            }
        }
        writeln!(f)
    }
}
