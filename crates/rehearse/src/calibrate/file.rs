//! The parameter file: what was measured and fitted, on which machine.
//!
//! YAML, read back with every field checked. Times are seconds, rates per second. It is written as soon as the fit
//! is there, and again with what came later.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use springtide_capacity::plant::Processors;
use springtide_capacity::plant::predict::Plant;
use springtide_capacity::plant::usl::{Point, Usl};

use super::CalibrateError;
use super::grid::Comparison;
use super::machine::Machine;
use super::results::{ClassFit, Hot, Results};
use crate::class::Class;

/// The form of files that this build writes and reads.
pub const FORM: u32 = 2;
const MOST_BYTES: u64 = 1 << 20;

/// A calibrated plant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantFile {
    /// [`FORM`].
    pub form: u32,
    /// When, in seconds since 1970.
    pub made: i64,
    /// Which environment.
    pub environment: String,
    /// Where.
    pub machine: Machine,
    /// Web workers while it was measured.
    pub workers: u32,
    /// The processors as the model has them.
    pub processors: Processors,
    /// What of the sweep the processors do not explain.
    pub law: Usl,
    /// The scalability law of the sweep as it is, with the processors' end in it; none if it could not be
    /// fitted.
    pub sweep_law: Option<Usl>,
    /// Each class that was measured.
    pub classes: BTreeMap<Class, ClassFit>,
    /// Which class was swept.
    pub swept: Class,
    /// The sweep: clients at once, acts per second.
    pub sweep: Vec<Point>,
    /// Pickers on hot products; not in the model.
    pub hot: Vec<Hot>,
    /// The model beside what it was not fitted to; none if that was not measured.
    pub comparison: Option<Comparison>,
    /// What people should know.
    pub notes: Vec<String>,
}

impl PlantFile {
    /// What results have of it; none before the fit.
    pub fn of(results: &Results) -> Option<PlantFile> {
        let fit = results.fit.as_ref()?;
        let point =
            |crowd: &super::results::Crowd| Point { at_once: f64::from(crowd.clients), throughput: crowd.throughput };
        // What waits for a processor that others use looks like waiting that needs none.
        let mut notes = vec![format!("load average when it began: {}; above 0.5 the machine was busy", results.load)];
        notes.extend(results.notes.iter().cloned());
        Some(PlantFile {
            form: FORM,
            made: results.made,
            environment: results.environment.clone(),
            machine: results.machine.clone(),
            workers: results.workers,
            processors: results.processors,
            law: fit.law,
            sweep_law: fit.sweep_law,
            classes: results.classes.clone(),
            swept: results.swept,
            sweep: results.sweep.iter().map(point).collect(),
            hot: results.hot.clone(),
            comparison: results.comparison.clone(),
            notes,
        })
    }

    /// The model that it gives.
    pub fn plant(&self) -> Plant {
        Plant { processors: self.processors, law: self.law }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &Path) -> Result<(), CalibrateError> {
        let text = serde_saphyr::to_string(self).map_err(|why| failed(path, why.to_string()))?;
        write_whole(path, &text)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is no parameter file, of another form, or holds numbers that make no sense.
    pub fn read(path: &Path) -> Result<PlantFile, CalibrateError> {
        let failed = |why: String| failed(path, why);
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|why| failed(why.to_string()))?;
        let size = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|why| failed(why.to_string()))?;
        if size as u64 > MOST_BYTES {
            return Err(failed(format!("it is longer than {MOST_BYTES} bytes")));
        }
        /// The part that says whether the rest can be understood.
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let form = serde_saphyr::from_str::<Form>(&text).map_err(|why| failed(why.to_string()))?.form;
        if form != FORM {
            return Err(failed(format!("it is of form {form}, this build reads form {FORM}; calibrate again")));
        }
        let read: PlantFile = serde_saphyr::from_str(&text).map_err(|why| failed(why.to_string()))?;
        for (class, fit) in &read.classes {
            if let Some(why) = fit.demand.fault() {
                return Err(failed(format!("{class}: {why}")));
            }
        }
        let law = [read.law.lambda, read.law.sigma, read.law.kappa];
        if read.classes.is_empty() || law.iter().any(|value| !value.is_finite() || *value < 0.0) {
            return Err(failed("it has no classes, or a law that is below 0".into()));
        }
        Ok(read)
    }
}

/// Whether a file can be written there, tried before any work is done for it. What is there stays.
///
/// # Errors
/// It cannot.
pub fn writable(path: &Path) -> Result<(), CalibrateError> {
    if path.is_dir() {
        return Err(failed(path, "it is a folder".into()));
    }
    let aside = aside(path);
    let tried = std::fs::File::create(&aside).and_then(|_| std::fs::remove_file(&aside));
    tried.map_err(|why| failed(path, why.to_string()))
}

/// Writes a text whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write_whole(path: &Path, text: &str) -> Result<(), CalibrateError> {
    let aside = aside(path);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(|why| failed(path, why.to_string()))
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    aside.into()
}

fn failed(path: &Path, why: String) -> CalibrateError {
    CalibrateError::File { path: path.display().to_string(), why }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::traffic::cost::Cost;
    use springtide_capacity::plant::Demand;

    /// A plant with two classes.
    pub(in super::super) fn example() -> PlantFile {
        let demand = Demand { app: 0.205, db: 0.11, wait: 0.03, sigma: 0.4, retries: 0.02 };
        let log = Cost { acts: 200, requests: 2.0, worker_s: 0.3, database_s: 0.1, queries: 93.5, retries: 0.0 };
        let fit = ClassFit {
            demand,
            behind: 0.0,
            done: 200,
            failed: 1,
            reasons: BTreeMap::from([("refused: odoo.exceptions.UserError".into(), 1)]),
            client_retries: 4,
            log: Some(log),
            p50: 0.33,
            p95: 0.6,
        };
        PlantFile {
            form: FORM,
            made: 1_795_000_000,
            environment: "prod".into(),
            machine: Machine::here(BTreeMap::from([("odoo".into(), "19.0: a \"quoted\" one".into())])),
            workers: 4,
            processors: Processors::Shared(2),
            law: Usl { lambda: 2.9, sigma: 0.03, kappa: 0.001 },
            sweep_law: None,
            classes: BTreeMap::from([(Class::Order, fit.clone()), (Class::OrderApi, fit)]),
            swept: Class::Order,
            sweep: vec![Point { at_once: 1.0, throughput: 2.9 }],
            hot: Vec::new(),
            comparison: None,
            notes: vec!["# not a comment".into()],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_refused() {
        let file = example();
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("plant.yaml");
        file.write(&path).unwrap();
        assert_eq!(PlantFile::read(&path).unwrap(), file);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("form: 2", "form: 1"), ("app: 0.205", "app: -1.0"), ("made:", "maid:"), ("sigma: 0.03", "sigma: .nan")]
        {
            assert!(text.contains(from), "{from} in {text}");
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert_eq!(PlantFile::read(&path).unwrap_err().code(), "E0974", "{to}");
        }
        std::fs::write(&path, "form: 1\nolder: true\n").unwrap();
        assert!(PlantFile::read(&path).unwrap_err().to_string().contains("calibrate again"));
        assert!(PlantFile::read(&folder.path().join("none")).is_err());
        let apart = PlantFile { processors: Processors::Apart { app: 1, db: 1 }, ..file };
        apart.write(&path).unwrap();
        assert_eq!(PlantFile::read(&path).unwrap(), apart);
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_found_before() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("plant.yaml");
        writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays of the try");
        std::fs::write(&path, "kept").unwrap();
        writable(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
        for bad in [folder.path().to_owned(), folder.path().join("none/plant.yaml")] {
            assert_eq!(writable(&bad).unwrap_err().code(), "E0974", "{}", bad.display());
        }
    }
}
