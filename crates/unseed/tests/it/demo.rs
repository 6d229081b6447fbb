//! The demo: repeatable, and it leaves what it promises.

use crate::support::Sandbox;

#[test]
fn the_demo_works_twice_and_leaves_its_files() {
    let sandbox = Sandbox::new(1);
    for _ in 0..2 {
        let text = sandbox.expect(0, &["demo"]);
        assert!(text.contains("every row of every table equals the original"), "{text}");
    }
    for name in
        ["app.db", "original.db", "cleaned.db", "plan.json", "scan.json", "report.html", "closure.svg"]
    {
        assert!(sandbox.path("unseed-demo").join(name).is_file(), "{name}");
    }
    assert!(sandbox.path("unseed-demo/.unseed/archive/r-1/manifest.json").is_file());
}

#[test]
fn the_demo_finds_all_test_data_and_nothing_else() {
    let sandbox = Sandbox::new(1);
    let summary = sandbox.json(0, &["demo", "--dir", "look"]);
    assert_eq!(summary["format"], "unseed.demo/1");
    let counts = unseed_io::sample::counts(&sandbox.path("look/cleaned.db")).unwrap();
    let count = |table: &str| counts.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
    assert_eq!((count("tenants"), count("users"), count("reports")), (Some(3), Some(41), Some(40)));
    assert_eq!((count("payments"), count("invoices"), count("sessions")), (Some(40), Some(12), Some(240)));
}

#[test]
fn the_demo_leaves_folders_of_others_alone() {
    let sandbox = Sandbox::new(1);
    std::fs::create_dir(sandbox.path("mine")).unwrap();
    sandbox.write("mine/thesis.txt", "years of work");
    let answer = sandbox.run(&["demo", "--dir", "mine"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("`thesis.txt`, which is not from a demo"), "{answer:?}");
    assert!(sandbox.path("mine/thesis.txt").exists());
}
