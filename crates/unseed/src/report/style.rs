//! The look of the page: one style sheet, light and dark, nothing fetched.

/// The style sheet.
pub(super) const CSS: &str = r"
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#ffffff;--ink:#1d2126;--soft:#5a626b;--line:#e5e1d8;--test:#c23b22;--test-ink:#a22f19;--test-soft:#fbe9e4;
--real:#2f7f79;--real-ink:#1f625d;--real-soft:#d9ecea;--warn:#8a5a00;--code:#f3f0e9}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e9e7e2;--soft:#a3abb4;--line:#2d3338;--test:#ef7a5f;--test-ink:#f39a84;--test-soft:#3a231d;
--real:#5fb5ad;--real-ink:#83cbc4;--real-soft:#1c302f;--warn:#e0b04a;--code:#252a2f}}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--test:#c23b22;--test-ink:#a22f19;--test-soft:#fff;
--real:#2f7f79;--real-ink:#1f625d;--real-soft:#e4f1ef;--warn:#8a5a00;--code:#f3f3f3}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1060px;margin:0 auto;padding:56px 28px 72px}
header p{color:var(--soft);margin:0;font-size:14px;letter-spacing:.02em}
h1{font-size:38px;line-height:1.15;letter-spacing:-.02em;margin:10px 0 12px;max-width:22em;font-weight:650}
h1 em{font-style:normal;color:var(--test)}h1.clean em{color:var(--real-ink)}
header .lead{font-size:18px;color:var(--soft);max-width:44em;margin:0;letter-spacing:0}
dl{display:flex;flex-wrap:wrap;gap:14px 36px;margin:22px 0 0;padding:16px 0 0;border-top:1px solid var(--line)}dt{color:var(--soft);font-size:13px}
dd{margin:1px 0 0;font-size:15px;overflow-wrap:anywhere}.address{color:var(--soft)}
h2{font-size:20px;letter-spacing:-.01em;margin:0 0 4px;font-weight:650}
section{margin-top:44px}section>p{color:var(--soft);margin:0 0 16px;max-width:46em}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:14px;margin-top:34px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px}
.card b{display:block;font-size:30px;line-height:1.15;letter-spacing:-.02em;font-weight:650}
.card span{color:var(--soft);font-size:14px;display:block}
.meter{height:6px;border-radius:3px;background:var(--real-soft);margin-top:12px;overflow:hidden}
.meter i{display:block;height:100%;background:var(--test);border-radius:3px}
.panel{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--line);stroke-width:1}.axis{fill:var(--soft);font-size:11.5px}
rect.test{fill:var(--test)}rect.real{fill:var(--real-soft);stroke:var(--real);stroke-width:1.2}rect.hover{fill:transparent}.bar:hover rect.hover{fill:var(--line);opacity:.45}
.legend{display:flex;gap:20px;color:var(--soft);font-size:14px;margin-bottom:10px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;vertical-align:-1px}
.legend .t{background:var(--test)}.legend .r{background:var(--real-soft);border:1.5px solid var(--real)}
details{margin-top:14px;font-size:14px}summary{color:var(--soft);cursor:pointer}.figures{width:auto;margin-top:10px}.figures .n{padding-left:26px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:15px}
th{font-weight:600;color:var(--soft);font-size:13px;text-align:left;padding:0 14px 9px 0;white-space:nowrap}
td,tbody th{border-top:1px solid var(--line);padding:11px 14px 11px 0;vertical-align:top}
tbody th{color:inherit;font-size:inherit;white-space:normal}.figures td,.figures tbody th{padding:5px 14px 5px 0;font-weight:400}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}th.n{text-align:right}td.n.bad{color:var(--test-ink);font-weight:600}td.n.warn{color:var(--warn);font-weight:600}
td .meter{margin-top:8px;min-width:90px}.share{padding-left:22px;width:24%}ol li::first-letter{text-transform:uppercase}
.signs td,.signs tbody th{border:0;padding:5px 16px 5px 0;vertical-align:middle}.signs td.n{padding-right:0}.signs tbody th{font-weight:400;width:42%}.signs .bar{width:46%}
.signs .meter{margin:0;height:9px;border-radius:5px;background:var(--code)}.signs .meter i{border-radius:5px}
.rows th:first-child{width:34%}.rows td:nth-child(2){width:54%}
.key{font-weight:400}.name{font-weight:600;overflow-wrap:anywhere}.key{color:var(--soft);font-size:13px;overflow-wrap:anywhere;font-family:ui-monospace,'SF Mono',Menlo,'Liberation Mono',monospace}
.why{display:flex;flex-wrap:wrap;gap:6px;margin:0;padding:0;list-style:none}
.why li{border-radius:999px;padding:2px 10px;font-size:13px;line-height:1.5;background:var(--test-soft);color:var(--test-ink);overflow-wrap:anywhere}
.why .against{background:var(--real-soft);color:var(--real-ink)}
.score{font-weight:600;white-space:nowrap}.score.test{color:var(--test-ink)}.score.suspect{color:var(--warn)}
h3{font-size:15px;margin:26px 0 10px;font-weight:600}h3:first-child{margin-top:0}
h3 small{font-weight:400;color:var(--soft);font-size:14px}
ol{margin:0;padding:0;list-style:none;counter-reset:step}
ol li{counter-increment:step;position:relative;padding:0 0 14px 42px}ol li:last-child{padding-bottom:0}
ol li::before{content:counter(step);position:absolute;left:0;top:-1px;width:27px;height:27px;border-radius:50%;background:var(--code);font-size:14px;
font-weight:600;display:grid;place-items:center}
code{font-family:ui-monospace,'SF Mono',Menlo,'Liberation Mono',monospace;font-size:.9em;background:var(--code);border-radius:5px;padding:2px 6px}
footer{margin-top:48px;color:var(--soft);font-size:13.5px;border-top:1px solid var(--line);padding-top:18px;max-width:none}
footer p{margin:0 0 6px}
@media (max-width:640px){main{padding:32px 18px}h1{font-size:29px}.panel{padding:16px}.signs .bar{width:30%}.cards{grid-template-columns:1fr 1fr}.card{padding:14px}
.card b{font-size:24px}table{font-size:14px}.share .meter{display:none}svg{min-width:620px}.panel:has(svg){overflow-x:auto}
table.counts{min-width:540px}.rows thead{position:absolute;clip-path:inset(50%)}.rows tr{display:grid;grid-template-columns:1fr auto;border-top:1px solid var(--line);padding:11px 0}
.rows td,.rows tbody th{border:0;padding:0 0 6px}.rows th:first-child,.rows td:nth-child(2){width:auto}.rows td:nth-child(2){grid-column:1/-1;grid-row:2}}
@media print{body{font-size:12px}main{max-width:none;padding:0}section{margin-top:26px}.panel,.card{padding:10px 12px;border-radius:6px}h1{font-size:26px}.card b{font-size:20px}
h2,h3{break-after:avoid}.card,tr,li,svg,header{break-inside:avoid}thead{display:table-header-group}details{display:none}.scroll{overflow:visible}
.meter,.meter i,.why li,.legend i,ol li::before{-webkit-print-color-adjust:exact;print-color-adjust:exact}.why li{border:1px solid var(--line)}}
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn luminance(hex: &str) -> f64 {
        let part = |at: usize| {
            let value = u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let share = f64::from(value) / 255.0;
            if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    }

    /// The contrast of the Web Content Accessibility Guidelines.
    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_stands_out_from_what_is_behind_it_by_day_and_by_night() {
        let schemes: Vec<&str> = CSS.split(":root{").skip(1).take(2).collect();
        for scheme in schemes {
            let end = scheme.find('}').unwrap();
            let colors: BTreeMap<&str, &str> = scheme[..end]
                .split(';')
                .filter_map(|rule| rule.trim().strip_prefix("--")?.split_once(":#"))
                .collect();
            let pairs = [
                ("ink", "paper"),
                ("ink", "card"),
                ("soft", "paper"),
                ("soft", "card"),
                ("test", "paper"),
                ("test-ink", "card"),
                ("test-ink", "test-soft"),
                ("real-ink", "paper"),
                ("real-ink", "real-soft"),
                ("warn", "card"),
                ("ink", "code"),
            ];
            for (text, behind) in pairs {
                let found = contrast(colors[text], colors[behind]);
                assert!(found >= 4.5, "{text} on {behind}: {found:.2}");
            }
            for shape in ["test", "real"] {
                assert!(contrast(colors[shape], colors["card"]) >= 3.0, "{shape}");
            }
        }
    }
}
