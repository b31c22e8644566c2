//! Help, the manual and completions: made from one definition, and complete.

use crate::transcript::Folder;

const COMMANDS: [&str; 14] = [
    "demo",
    "go",
    "record",
    "analyze",
    "explain",
    "view",
    "query",
    "info",
    "dump",
    "verify",
    "recover",
    "import",
    "completions",
    "man",
];

#[test]
fn help_teaches_where_to_start_and_what_exit_codes_mean() {
    let help = Folder::new().mmtrace(&["--help"]);
    assert_eq!(help.code, 0);
    for needed in ["mmtrace demo", "mmtrace analyze run.log", "Exit codes:", "66", "NO_COLOR"] {
        assert!(help.stdout.contains(needed), "no {needed} in:\n{help}");
    }
}

#[test]
fn every_command_is_listed_and_has_help_of_its_own() {
    let folder = Folder::new();
    let help = folder.mmtrace(&["--help"]).stdout;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the list:\n{help}");
        let own = folder.mmtrace(&[command, "--help"]);
        assert_eq!(own.code, 0, "{own}");
        assert!(own.stdout.contains(&format!("Usage: mmtrace {command}")), "{own}");
    }
    assert!(!help.contains("workload"), "the demo's inside is not for users:\n{help}");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = Folder::new();
    let page = folder.mmtrace(&["man"]);
    assert!(page.stdout.contains(".TH mmtrace 1"), "{page}");
    assert!(page.stdout.contains("Exit codes:"), "{page}");
    for command in COMMANDS {
        let page = folder.mmtrace(&["man", command]);
        assert!(page.stdout.contains(&format!(".TH mmtrace-{command} 1")), "{page}");
    }
    insta::assert_snapshot!(folder.mmtrace(&["man", "fly"]), @"
    error: mmtrace has no command `fly`
    exit code 2
    ");
}

#[test]
fn completions_exist_for_the_common_shells_and_know_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.mmtrace(&["completions", shell]);
        assert_eq!(script.code, 0, "{script}");
        for command in COMMANDS {
            assert!(script.stdout.contains(command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn wrong_usage_is_told_on_standard_error_with_exit_code_2() {
    let folder = Folder::new();
    for arguments in [
        &["fly"][..],
        &["analyze"],
        &["analyze", "--no-such-flag", "x.log"],
        &["analyze", "--memory", "lots", "x.log"],
        &["analyze", "--threads", "0", "x.log"],
        &["analyze", "--format", "xml", "x.log"],
        &["dump", "--thread", "main", "x.log"],
        &["dump", "--from", "20", "x.log"],
        &["record", "--keep", "newest", "--", "true"],
        &["import", "--from", "nothing", "x", "-o", "y"],
        &["completions", "tcsh"],
        &[],
    ] {
        let run = folder.mmtrace(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}\n{run}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_value_is_answered_with_what_was_expected() {
    let folder = Folder::new();
    insta::assert_snapshot!(folder.mmtrace(&["analyze", "--memory", "lots", "x.log"]), @"
    error: invalid value 'lots' for '--memory <SIZE>': expected a size, like 64K, 512M or 2G

    For more information, try '--help'.
    exit code 2
    ");
    insta::assert_snapshot!(folder.mmtrace(&["dump", "--from", "20", "x.log"]), @"
    error: invalid value '20' for '--from <TIME>': expected a time, like 1.5s, 20ms, 300us or 900ns

    For more information, try '--help'.
    exit code 2
    ");
}
