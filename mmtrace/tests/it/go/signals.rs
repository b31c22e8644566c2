//! A signal that is sent to `mmtrace go` reaches what it runs, and nothing is left behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mmtrace_fixtures::go;

use crate::transcript::Folder;

/// Says who it is, then each signal that it gets.
const PROGRAM: &str = r#"package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM)
	fmt.Println("pid", os.Getpid())
	for number := 1; ; number++ {
		got := <-signals
		fmt.Println(number, got)
		if got != syscall.SIGUSR1 {
			os.Exit(0)
		}
	}
}
"#;

/// A test that a signal ends, or that does not mind.
const TESTS: &str = r#"package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestWaits(t *testing.T) {
	if os.Getenv("DEAF") != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println("pid", os.Getpid())
	forever := make(chan int)
	<-forever
}
"#;

fn module(test: &str) -> Option<Folder> {
    go::command(test)?;
    let folder = Folder::new();
    folder.write("go.mod", b"module example.org/signals\n\ngo 1.22\n");
    folder.write("main.go", PROGRAM.as_bytes());
    folder.write("main_test.go", TESTS.as_bytes());
    Some(folder)
}

/// `mmtrace go`, as soon as the program in it runs.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    program: u32,
}

impl Running {
    fn of(folder: &Folder, arguments: &[&str], set: Option<&str>) -> Self {
        let mut command = folder.command(&["go", "--report", "report.txt", "-o", "logs/"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(set.map(|name| (name, "1")));
        let mut child = go::clean(command).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let program = lines.find_map(|line| line.unwrap().strip_prefix("pid ")?.parse().ok());
        Self { child, lines, program: program.expect("the program says who it is") }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").unwrap()
    }

    /// The exit code, what else the program said, and what we did.
    fn end(self) -> (Option<i32>, Vec<String>, String) {
        let rest: Vec<String> = self.lines.map(Result::unwrap).collect();
        let output = self.child.wait_with_output().unwrap();
        // It is on its way out, and on a busy machine somebody has yet to take it away.
        let patience = Instant::now() + Duration::from_secs(60);
        while is_running(self.program) {
            assert!(Instant::now() < patience, "it is left behind");
            std::thread::sleep(Duration::from_millis(20));
        }
        (output.status.code(), rest, String::from_utf8(output.stderr).unwrap())
    }
}

/// Whether there is such a process that has not ended.
fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

#[test]
fn each_signal_reaches_the_program_once() {
    let Some(folder) = module("each_signal_reaches_the_program_once") else { return };
    let mut running = Running::of(&folder, &["run", "."], None);
    // Each is heard of before the next one is sent: of two at once one might be lost.
    for number in 1..=3 {
        running.signal("USR1");
        assert_eq!(running.line(), format!("{number} user defined signal 1"));
    }
    running.signal("INT");
    let (code, rest, errors) = running.end();
    assert_eq!(rest, ["4 interrupt"]);
    // Go's own command fails when it is interrupted, whatever the program made of that.
    assert_eq!(code, Some(128 + 2), "{errors}");
    assert!(errors.contains("1 log in logs/: nothing found"), "{errors}");
}

#[test]
fn a_test_program_that_is_interrupted_leaves_its_log() {
    let Some(folder) = module("a_test_program_that_is_interrupted_leaves_its_log") else { return };
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let running = Running::of(&folder, &["test", "-v", "."], None);
        running.signal(name);
        let (code, _, errors) = running.end();
        assert_eq!(code, Some(128 + number), "SIG{name}: {errors}");
        let report = String::from_utf8(folder.read("report.txt")).unwrap();
        assert!(report.contains("the log was never closed"), "{report}");
        assert!(report.contains("waits for receive"), "{report}");
    }
}

/// Go's command is gone at once then; the program that it ran gets a few seconds.
#[test]
fn a_test_program_that_does_not_listen_is_not_left_behind() {
    let Some(folder) = module("a_test_program_that_does_not_listen") else { return };
    let running = Running::of(&folder, &["test", "-v", "."], Some("DEAF"));
    running.signal("TERM");
    let (code, _, errors) = running.end();
    assert_eq!(code, Some(128 + 15), "{errors}");
}
