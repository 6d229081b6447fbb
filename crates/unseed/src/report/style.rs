//! The look of the page: one style sheet, light and dark, nothing fetched.

/// The style sheet.
pub(super) const CSS: &str = r"
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#ffffff;--ink:#1d2126;--soft:#5f6770;--line:#e5e1d8;--test:#d1482f;--test-soft:#fbe9e4;
--real:#2f7f79;--real-soft:#dfeeec;--warn:#b27a09;--warn-soft:#faf0d8;--code:#f3f0e9}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e9e7e2;--soft:#9aa2ab;--line:#2d3338;--test:#ef7a5f;--test-soft:#3a231d;
--real:#5fb5ad;--real-soft:#1c302f;--warn:#e0b04a;--warn-soft:#33290f;--code:#252a2f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1060px;margin:0 auto;padding:56px 28px 72px}
header p{color:var(--soft);margin:0;font-size:14px;letter-spacing:.02em}
h1{font-size:38px;line-height:1.15;letter-spacing:-.02em;margin:10px 0 12px;max-width:22em;font-weight:650}
h1 em{font-style:normal;color:var(--test)}h1.clean em{color:var(--real)}
header .lead{font-size:18px;color:var(--soft);max-width:44em;margin:0}
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
rect.test{fill:var(--test)}rect.real{fill:var(--real)}rect.hover{fill:transparent}.bar:hover rect.hover{fill:var(--line);opacity:.45}
.legend{display:flex;gap:20px;color:var(--soft);font-size:14px;margin-bottom:10px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;vertical-align:-1px}
.legend .t{background:var(--test)}.legend .r{background:var(--real)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:15px}
th{font-weight:600;color:var(--soft);font-size:13px;text-align:left;padding:0 14px 9px 0;white-space:nowrap}
td{border-top:1px solid var(--line);padding:11px 14px 11px 0;vertical-align:top}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}td.n.bad{color:var(--test);font-weight:600}td.n.warn{color:var(--warn);font-weight:600}
td .meter{margin-top:8px;min-width:90px}.share{padding-left:22px;width:24%}ol li::first-letter{text-transform:uppercase}
.bars{display:grid;grid-template-columns:minmax(180px,max-content) 1fr max-content;gap:10px 16px;align-items:center;font-size:15px}
.bars .meter{margin:0;height:9px;border-radius:5px;background:var(--code)}.bars .meter i{border-radius:5px}
.bars .n{color:var(--soft)}
.name{font-weight:600;overflow-wrap:anywhere}.key{color:var(--soft);font-size:13px;overflow-wrap:anywhere;font-family:ui-monospace,'SF Mono',Menlo,'Liberation Mono',monospace}
.why{display:flex;flex-wrap:wrap;gap:6px}
.why span{border-radius:999px;padding:2px 10px;font-size:13px;line-height:1.5;background:var(--test-soft);color:var(--test)}
.why .against{background:var(--real-soft);color:var(--real)}
.score{font-weight:600;white-space:nowrap}.score.test{color:var(--test)}.score.suspect{color:var(--warn)}
h3{font-size:15px;margin:26px 0 10px;font-weight:600}h3:first-child{margin-top:0}
h3 small{font-weight:400;color:var(--soft);font-size:14px}
ol{margin:0;padding:0;list-style:none;counter-reset:step}
ol li{counter-increment:step;position:relative;padding:0 0 14px 42px}ol li:last-child{padding-bottom:0}
ol li::before{content:counter(step);position:absolute;left:0;top:-1px;width:27px;height:27px;border-radius:50%;background:var(--code);font-size:14px;
font-weight:600;display:grid;place-items:center}
code{font-family:ui-monospace,'SF Mono',Menlo,'Liberation Mono',monospace;font-size:.9em;background:var(--code);border-radius:5px;padding:2px 6px}
footer{margin-top:48px;color:var(--soft);font-size:13.5px;border-top:1px solid var(--line);padding-top:18px;max-width:none}
footer p{margin:0 0 6px}
@media (max-width:640px){main{padding:32px 18px}h1{font-size:29px}.bars{grid-template-columns:1fr max-content}.bars .meter{grid-column:1/-1;grid-row:auto;order:3}}
@media print{body{background:#fff}.card,.panel,tr{break-inside:avoid}}
";
