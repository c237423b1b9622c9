//! The table of results: rows in the order in which they were first set, a column for each server, and
//! beside each figure its ratio to the floor's (f) and to that of the Centrifuge peer on the same engine (g).

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
    fn figure(&self, kind: Kind) -> Option<f64> {
        self.figures.iter().find(|(of, _)| *of == kind).map(|(_, figure)| *figure)
    }

    fn ratio(&self, figure: f64, to: Option<Kind>, mark: char) -> Option<String> {
        let base = self.figure(to?).filter(|base| *base > 0.0)?;
        Some(format!("{:.2}{mark}", figure / base))
    }

    fn cell(&self, kind: Kind) -> String {
        let Some(figure) = self.figure(kind) else { return "-".to_owned() };
        let text = match self.unit {
            Unit::Kib => format!("{figure:.1} KiB"),
            Unit::Micros => format!("{figure:.2} us"),
            Unit::Count => format!("{figure:.0}"),
        };
        let floor = (kind != Kind::Floor).then_some(Kind::Floor);
        let ratios = [self.ratio(figure, floor, 'f'), self.ratio(figure, kind.peer(), 'g')];
        let ratios = ratios.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if ratios.is_empty() { text } else { format!("{text} ({ratios})") }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<46}", "f: floor = 1, g: go = 1")?;
        for kind in Kind::ALL {
            write!(f, "{:>width$}", kind.title(), width = kind.width())?;
        }
        for row in &self.0 {
            write!(f, "\n{:<46}", row.name)?;
            for kind in Kind::ALL {
                write!(f, "{:>width$}", row.cell(kind), width = kind.width())?;
            }
        }
        writeln!(f)
    }
}
