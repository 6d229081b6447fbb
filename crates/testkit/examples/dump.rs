fn main() {
    let seed = std::env::args().nth(1).unwrap().parse().unwrap();
    let case = unseed_testkit::random::case(seed);
    if std::env::args().nth(2).is_some() { println!("{}", case.sqlite_sql()) } else { println!("{}", case.postgres_sql()) }
    eprintln!("{:?}", case.postgres_root_keys());
}
