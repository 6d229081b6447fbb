//! Pictures of small plans.

use super::*;
use unseed_core::plan::{FORMAT, Keys, Path, Roots};
use unseed_core::policy::Policy;

fn step(table: &str, action: Action, via: &str) -> Step {
    Step {
        store: "main".to_owned(),
        table: table.to_owned(),
        action,
        columns: Vec::new(),
        rows: 7,
        of: 1000,
        via: via.to_owned(),
    }
}

fn plan(steps: Vec<Step>) -> Plan {
    let roots = Roots {
        store: None,
        table: "public.tenants".to_owned(),
        count: 3,
        columns: Vec::new(),
        chosen_by: String::new(),
        keys: Keys::Inline(Vec::new()),
    };
    Plan {
        format: FORMAT.to_owned(),
        id: "7f3a90bc".to_owned(),
        digest: String::new(),
        created_at: String::new(),
        created_by: String::new(),
        stores: Vec::new(),
        path: Path::Checked,
        path_reason: String::new(),
        batch_rows_max: 1,
        policy: Policy::default(),
        roots: vec![roots],
        steps,
        build_indexes: unseed_core::plan::BuildIndexes::Auto,
        indexes: Vec::new(),
        warnings: Vec::new(),
        conflicts: Vec::new(),
        legs: Vec::new(),
        leg_of: None,
    }
}

fn example() -> Plan {
    plan(vec![
        step(
            "public.votes",
            Action::Delete,
            "votes.user_id → users.id (CASCADE); votes.tenant_id → tenants.id (CASCADE)",
        ),
        step("public.teams", Action::Delete, "teams.owner_id → users.id (NO ACTION)"),
        step(
            "public.users",
            Action::Delete,
            "users.tenant_id → tenants.id (CASCADE); users.team_id → teams.id (NO ACTION); users.boss → users.id (SET NULL)",
        ),
        step("public.tenants", Action::Delete, ""),
        step("public.<odd> & co", Action::Detach, "<odd> & co.by → users.id (SET NULL)"),
    ])
}

#[test]
fn columns_follow_the_longest_way_from_a_root() {
    let plan = example();
    // The teams of the cycle stand behind the users that own them.
    assert_eq!(layers(&plan, &edges(&plan)), [2, 2, 1, 0, 2]);
}

#[test]
fn every_reference_is_drawn_once_and_cycles_run_back() {
    let plan = example();
    let nodes = place(&edges(&plan), &layers(&plan, &edges(&plan)));
    let kinds: Vec<(usize, Kind)> = nodes
        .iter()
        .flat_map(|node| node.ports.iter().filter_map(|port| Some((node.step?, port.kind))))
        .collect();
    assert_eq!(kinds.iter().filter(|(_, kind)| *kind == Kind::Forward).count(), 5);
    assert!(kinds.contains(&(2, Kind::Back)) && kinds.contains(&(2, Kind::Loop)));
}

#[test]
fn names_are_escaped_and_the_picture_is_stable() {
    let first = svg(&example());
    assert_eq!(first, svg(&example()));
    assert!(first.contains("public.&lt;odd&gt; &amp; co"));
    assert!(first.contains("7 of 1,000 rows are detached"));
}

#[test]
fn boxes_of_a_column_do_not_overlap() {
    let plan = example();
    let nodes = place(&edges(&plan), &layers(&plan, &edges(&plan)));
    for (index, a) in nodes.iter().enumerate() {
        for b in nodes.iter().skip(index + 1).filter(|b| b.layer == a.layer) {
            let apart = a.y + draw::height(a) <= b.y + 0.01 || b.y + draw::height(b) <= a.y + 0.01;
            assert!(apart, "{a:?} {b:?}");
        }
    }
}

#[test]
fn an_empty_plan_and_a_large_one_are_drawn() {
    assert!(svg(&plan(Vec::new())).ends_with("</svg>\n"));
    let steps = (0..1400)
        .rev()
        .map(|n| step(&format!("public.t{n}"), Action::Delete, &format!("t{n}.up → t{}.id (CASCADE)", n / 3)))
        .collect();
    assert!(svg(&plan(steps)).contains("public.t1399"));
}
