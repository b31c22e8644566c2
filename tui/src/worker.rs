//! The threads behind the screen: one answers requests, the newest page first; others work out what
//! takes long, and hand it to the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use mmtrace_analyzer::Progress;
use mmtrace_format::Log;

use crate::desk::{Desk, has_edges_unasked, is_analysed_unasked};
use crate::engine::Engine;
use crate::engine::causality::Causality;
use crate::engine::findings::{self, Findings};
use crate::index::{Detail, Index, IndexError, build_in_memory, open_or_build};
use crate::message::{Answer, Request};
use crate::query::Query;

/// Something for the answering thread.
enum Job {
    Request(Request),
    Index(Result<Arc<Index>, IndexError>),
    Findings(Result<Arc<Findings>, String>),
    Causality(Arc<Causality>),
    /// Names of groups need symbols, which take a moment: after the first screen.
    Names,
    Stop,
}

/// Takes answers to whoever draws. `false`: nobody listens any more.
pub type Listener = Arc<dyn Fn(Answer) -> bool + Send + Sync>;

/// The answering thread.
#[derive(Debug)]
pub struct Worker {
    jobs: Sender<Job>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts answering questions about a log.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(log: Arc<Log>, listener: Listener) -> std::io::Result<Self> {
        Self::start_with(log, listener, true)
    }

    /// The same, but nothing is analysed before somebody asks for it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start_unanalysed(log: Arc<Log>, listener: Listener) -> std::io::Result<Self> {
        Self::start_with(log, listener, false)
    }

    fn start_with(log: Arc<Log>, listener: Listener, unasked: bool) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let office = Office {
            log,
            listener,
            jobs: jobs.clone(),
            stop: Arc::clone(&stop),
            search: Arc::new(AtomicU64::new(0)),
            unasked,
        };
        let thread = Builder::new().name("answers".to_owned());
        let thread = thread.spawn(move || office.run(&queue))?;
        Ok(Self { jobs, stop, thread: Some(thread) })
    }

    /// Asks something.
    pub fn ask(&self, request: Request) {
        // Nobody to ask: the thread has ended, and with it the program will.
        let _ = self.jobs.send(Job::Request(request));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Release: who sees the flag has no need of anything else.
        self.stop.store(true, Ordering::Release);
        let _ = self.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            // It panicked: the panic has been reported.
            let _ = thread.join();
        }
    }
}

/// What the answering thread has.
struct Office {
    log: Arc<Log>,
    listener: Listener,
    jobs: Sender<Job>,
    stop: Arc<AtomicBool>,
    /// The number of the search that is wanted: others end.
    search: Arc<AtomicU64>,
    /// Whether short logs are analysed before anybody asks.
    unasked: bool,
}

impl Office {
    fn run(self, queue: &Receiver<Job>) {
        let log = Arc::clone(&self.log);
        let presence = build_in_memory(&log, Detail::Presence, &mut self.watch("reading"));
        self.say(Answer::Working("reading", String::new()));
        let index = match presence {
            Ok(index) => Arc::new(index),
            Err(IndexError::Cancelled) => return,
            Err(error) => {
                self.say(Answer::Said(error.to_string()));
                return;
            }
        };
        let exporting = News::new("export", &self.listener);
        let mut desk = Desk::new(&log, Arc::clone(&index)).with_progress(&exporting);
        self.say(desk.lanes(false));
        let building = self.build_index();
        let (mut index, mut findings) = (index, None);
        let (mut is_analysed, mut has_edges) = (false, false);
        'jobs: while let Ok(job) = queue.recv() {
            // The newest page is the one on the screen.
            let mut waiting = vec![job];
            waiting.extend(queue.try_iter());
            for job in newest_pages_first(waiting) {
                match job {
                    Job::Stop => break 'jobs,
                    Job::Index(Err(IndexError::Cancelled)) => {}
                    Job::Index(Err(error)) => self.say(Answer::Said(error.to_string())),
                    Job::Index(Ok(new)) => {
                        index = new;
                        desk.set_index(Arc::clone(&index));
                        self.say(Answer::Working("indexing", String::new()));
                        self.say(desk.lanes(false));
                        if self.unasked && is_analysed_unasked(&log) {
                            is_analysed = true;
                            self.analyse(&index);
                        }
                        if self.unasked && has_edges_unasked(&log) {
                            has_edges = true;
                            self.find_edges(&index);
                        }
                        let _ = self.jobs.send(Job::Names);
                    }
                    Job::Names => self.say(desk.lanes(true)),
                    Job::Findings(result) => {
                        self.say(Answer::Working("analysing", String::new()));
                        match result {
                            Ok(new) => {
                                findings = Some(Arc::clone(&new));
                                desk.set_findings(Arc::clone(&new));
                                self.say(Answer::Findings(new));
                            }
                            Err(error) => self.say(Answer::Said(error)),
                        }
                    }
                    Job::Causality(edges) => {
                        self.say(Answer::Working("edges", String::new()));
                        if edges.is_partial() {
                            let text = "only the earliest edges between lanes are known";
                            self.say(Answer::Said(text.to_owned()));
                        }
                        desk.set_causality(edges);
                        self.say(Answer::Causality);
                    }
                    Job::Request(Request::Findings) => {
                        if !std::mem::replace(&mut is_analysed, true) {
                            self.analyse(&index);
                        }
                    }
                    Job::Request(Request::Causality) => {
                        if !std::mem::replace(&mut has_edges, true) {
                            self.find_edges(&index);
                        }
                    }
                    Job::Request(Request::StopSearch) => {
                        self.search.fetch_add(1, Ordering::Relaxed);
                    }
                    Job::Request(Request::Search { text, query }) => {
                        self.search(&index, findings.clone(), text, query);
                    }
                    Job::Request(request) => {
                        let is_export = matches!(request, Request::Perfetto { .. });
                        if let Some(answer) = desk.answer(request) {
                            self.say(answer);
                        }
                        if is_export {
                            self.say(Answer::Working("export", String::new()));
                        }
                    }
                }
            }
        }
        if let Some(building) = building {
            // It removes what it has not finished.
            let _ = building.join();
        }
    }

    fn say(&self, answer: Answer) {
        if !(self.listener)(answer) {
            self.stop.store(true, Ordering::Release);
        }
    }

    /// Runs something beside the answering thread.
    fn beside(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
        match Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => Some(thread),
            Err(error) => {
                self.say(Answer::Said(format!("no thread for {name}: {error}")));
                None
            }
        }
    }

    /// Says how far an index is, until the worker is stopped.
    fn watch(&self, what: &'static str) -> impl FnMut(usize, usize) -> bool + use<> {
        let (listener, stop) = (Arc::clone(&self.listener), Arc::clone(&self.stop));
        let mut percent = 0;
        move |done: usize, of: usize| {
            let now = done * 100 / of.max(1);
            if now != percent {
                percent = now;
                listener(Answer::Working(what, format!("{now}%")));
            }
            !stop.load(Ordering::Acquire)
        }
    }

    fn build_index(&self) -> Option<JoinHandle<()>> {
        let (log, jobs) = (Arc::clone(&self.log), self.jobs.clone());
        let mut watch = self.watch("indexing");
        self.beside("index", move || {
            let index = open_or_build(&log, &mut watch).map(|(index, _)| Arc::new(index));
            let _ = jobs.send(Job::Index(index));
        })
    }

    fn analyse(&self, index: &Arc<Index>) {
        let (log, jobs, index) = (Arc::clone(&self.log), self.jobs.clone(), Arc::clone(index));
        let news = News::new("analysing", &self.listener);
        self.beside("analysis", move || {
            let findings = findings::collect(&log, &index, &news).map(Arc::new);
            let _ = jobs.send(Job::Findings(findings));
        });
    }

    fn find_edges(&self, index: &Arc<Index>) {
        let (log, jobs, index) = (Arc::clone(&self.log), self.jobs.clone(), Arc::clone(index));
        self.say(Answer::Working("edges", "..".to_owned()));
        self.beside("edges", move || {
            let edges = Causality::of(&log, &index);
            let _ = jobs.send(Job::Causality(Arc::new(edges)));
        });
    }

    /// Searches with an engine of its own, so that the screen goes on.
    fn search(
        &self,
        index: &Arc<Index>,
        findings: Option<Arc<Findings>>,
        text: String,
        query: Query,
    ) {
        let number = self.search.fetch_add(1, Ordering::Relaxed) + 1;
        let (log, index) = (Arc::clone(&self.log), Arc::clone(index));
        let (listener, wanted) = (Arc::clone(&self.listener), Arc::clone(&self.search));
        self.beside("search", move || {
            let mut engine = Engine::new(&log, index);
            if let Some(findings) = findings {
                engine.set_findings(findings);
            }
            let is_wanted = || wanted.load(Ordering::Relaxed) == number;
            let matches = engine.search(&query, &mut |done, of, found| {
                let percent = u8::try_from(done * 100 / of.max(1)).unwrap_or(100);
                is_wanted() && listener(Answer::Searching(text.clone(), found, percent))
            });
            if is_wanted() {
                listener(Answer::Matches(text, Arc::new(matches)));
            }
        });
    }
}

/// Tells the screen how far something is.
struct News {
    what: &'static str,
    listener: Listener,
    phase: std::sync::Mutex<(&'static str, u64)>,
    done: AtomicU64,
}

impl News {
    fn new(what: &'static str, listener: &Listener) -> Self {
        let (listener, phase) = (Arc::clone(listener), std::sync::Mutex::new(("", 0)));
        Self { what, listener, phase, done: AtomicU64::new(0) }
    }
}

impl Progress for News {
    fn phase(&self, name: &'static str, total: u64) {
        if let Ok(mut phase) = self.phase.lock() {
            *phase = (name, total);
        }
        self.done.store(0, Ordering::Relaxed);
        (self.listener)(Answer::Working(self.what, name.to_owned()));
    }

    fn advance(&self, steps: u64) {
        let Ok(phase) = self.phase.lock() else { return };
        let (name, total) = *phase;
        let before = self.done.fetch_add(steps, Ordering::Relaxed);
        let percent = |done: u64| done * 100 / total.max(1);
        if percent(before) != percent(before + steps) {
            let text = format!("{name} {}%", percent(before + steps).min(100));
            (self.listener)(Answer::Working(self.what, text));
        }
    }
}

/// Leaves the newest request for a page, and for details; these go first.
fn newest_pages_first(jobs: Vec<Job>) -> Vec<Job> {
    let (mut page, mut details, mut others) = (None, None, Vec::new());
    for job in jobs {
        match job {
            Job::Request(Request::Page(_)) => page = Some(job),
            Job::Request(Request::Details(_)) => details = Some(job),
            other => others.push(other),
        }
    }
    page.into_iter().chain(details).chain(others).collect()
}
