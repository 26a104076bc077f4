// Scans each NAME=HOST:PORT given as an argument with the MDN HTTP Observatory
// and rates its policy with csp_evaluator. Prints one JSON object by name. Both
// run in this process; nothing is asked of any other host.
import { scan } from "@mdn/mdn-http-observatory";
import evaluator from "csp_evaluator/dist/evaluator.js";
import finding from "csp_evaluator/dist/finding.js";
import parser from "csp_evaluator/dist/parser.js";

const severities = Object.fromEntries(
  Object.entries(finding.Severity).map(([name, value]) => [value, name]),
);

const out = {};
for (const arg of process.argv.slice(2)) {
  const [name, host] = arg.split("=");
  const { scan: result, tests } = await scan(host);
  const policy = result.responseHeaders["content-security-policy"] ?? "";
  const findings = new evaluator.CspEvaluator(
    new parser.CspParser(policy).csp,
  ).evaluate();
  out[name] = {
    grade: result.grade,
    score: result.score,
    tests: Object.fromEntries(
      Object.values(tests).map((t) => [t.name ?? t.constructor.name, { pass: t.pass, result: t.result, score: t.scoreModifier }]),
    ),
    policy: findings.map((f) => ({
      severity: severities[f.severity] ?? String(f.severity),
      directive: f.directive,
      value: f.value ?? "",
      text: f.description,
    })),
  };
}
console.log(JSON.stringify(out, null, 2));
