# Test 2. Claim: the figures are available and complete; no report says that it could not get them.
# Judged: runtime-metrics.json against the table below; the sentence of clients that had no figures per thread, against
# every member of the zip.

# The figures that a platform is excused from, as they stand in `missing`. A platform that is not listed is excused from
# nothing and fails. (On Linux, process.footprint_kb is no figure at all, so it is not missing there either.)
def excused: {linux: [], macos: []};

# What clients wrote before they could read threads; compared without regard to case.
def old_sentence: "per-thread metrics not implemented";

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# A plain value admits its equal.
def judged: .passed = (.measured == .allowed);

. as $evidence
| .environment.os as $os
| maybe(excused[$os]) as $excused
| range(0; .reports | length) as $i
| $evidence.reports[$i]
| "2.\(.label)" as $id
| ".reports[\($i)]" as $report
| maybe(.metrics.available) as $available
| maybe(.metrics.missing) as $missing
| (
    {
      check: "\($id).available",
      title: "nothing says that the figures are unavailable",
      measured: [
        (if (.metrics | type) != "object" then "runtime-metrics.json is no object" else empty end),
        (if $available != null and $available != true then "available is not true" else empty end)
      ],
      allowed: [],
      where: "\($report).metrics.available",
      remedy: "The client has no backend for this platform, or it failed as a whole: see `reason`."
    },
    {
      check: "\($id).reason",
      title: "there is no reason for absent figures",
      measured: [maybe(.metrics.reason) | select(. != null) | if type == "string" then .[0:200] else "a \(type)" end],
      allowed: [],
      where: "\($report).metrics.reason",
      remedy: "The reason says what failed; a report with figures has none."
    },
    {
      check: "\($id).missing",
      title: "no figure is missing but those that the platform cannot have",
      measured: (
        if ($excused | type) != "array" then "no table of this platform's figures (see the head of 2-available.jq)"
        elif $missing == null then []
        elif ($missing | type) != "object" then "a \($missing | type) where an object belongs"
        else [
          $missing | keys[] as $name
          | select(any($excused[]; . == $name) | not)
          | ($missing[$name] | if type == "string" then .[0:200] else "a \(type)" end) as $why
          | "\($name[0:100]): \($why)"
        ] | .[0:10]
        end),
      allowed: [],
      where: "\($report).metrics.missing",
      remedy: "The reason beside each name says which reading failed: permissions, a sandbox, a new kernel."
    },
    {
      check: "\($id).old_sentence",
      title: "no member says that per-thread metrics are not implemented",
      measured: (
        def says_it: tojson | ascii_downcase | contains(old_sentence);
        .members as $members
        | [
            (if .metrics | says_it then "runtime-metrics.json" else empty end),
            ($members | keys[] as $name | if $members[$name] | says_it then $name[0:100] else empty end)
          ]),
      allowed: [],
      where: "\($report).members",
      remedy: "This client was built before it could read threads on this platform: build the current one."
    }
  )
| judged
