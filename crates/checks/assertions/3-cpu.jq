# Test 3. Claim: the CPU figures are true, of the process and of every thread, idle and busy.
# Judged: the window that the report claims, against the moments at which it was asked for and seen; process and threads
# against an observer outside the process over that window; the sum of the threads against the process.

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# A figure as it was read, or words where there is none. Words never pass.
def figure($why):
  if type == "number" then .
  elif . != null then "a \(type) where a number belongs"
  elif ($why | type) == "string" then "absent: \($why[0:200])"
  else "absent" end;

def process_cpu:
  maybe(.metrics.missing["process.cpu_percent"]) as $why | maybe(.metrics.process.cpu_percent) | figure($why);

def thread_list: maybe(.metrics.threads) | if type == "array" then . else [] end;
def task_list: maybe(.observer.tasks) | if type == "array" then . else [] end;

# Thread ids as the keys of an object. What is no whole number is nobody's id.
def key: if type == "number" and . == floor then floor | tostring else "no tid" end;

# A range admits numbers alone, a plain value admits its equal. A row with a reason is skipped.
def judged:
  .measured as $measured | .allowed as $allowed
  | .passed = (
      if .reason != null then null
      elif ($allowed | type) == "object" then
        ($measured | type) == "number"
        and ($allowed.min == null or $measured >= $allowed.min)
        and ($allowed.max == null or $measured <= $allowed.max)
      else $measured == $allowed end)
  | if .reason == null then del(.reason) else . end;

# What is allowed around an expected figure. Nothing that is measured here is ever negative.
def around($expected; $slack): {min: ([0, $expected - $slack] | max), max: ($expected + $slack)};

def threshold($name): .thresholds[$name] | if type == "number" then . else error("thresholds.\($name) is no number") end;

def thresholds: {
  relative: threshold("cpu_relative"),
  process_floor: threshold("cpu_floor_points"),
  thread_floor: threshold("thread_floor_points"),
  window: threshold("window_relative"),
  busy: threshold("busy_percent")
};

# Why the observer cannot judge a report's CPU, or null where it can. A resolution near the load that is asked for, as
# of a very short window or on a machine that lets the observer wait, would let any figure pass.
def blind($t):
  .observer
  | if type != "object" then "nobody observed this report from outside"
    elif .unavailable != null then "\(.unavailable)"
    elif (.cpu_percent | type) != "number" then "the observer could not read the process's CPU"
    elif (.cpu_resolution_points | type) != "number" then "the observer's resolution is not known"
    elif .cpu_resolution_points > $t.busy / 2 then "the observer's readings lie too far apart for this window"
    else null end;

# What may lie between the report's process figure and the observer's.
def process_slack($t): ([$t.relative * .observer.cpu_percent, $t.process_floor] | max) + .observer.cpu_resolution_points;

# What a window costs whose place is not known exactly: no report claims it, or its stamps were taken early or late. It may
# have been a little earlier or later; the observer's resolution holds that cost already.
def found_from_outside:
  .observer
  | maybe(.window.uncertainty_ms * 1000 | round) as $place
  | maybe(.cpu_uncertainty_points * 100 | round) as $cost
  | if $place != null and $cost != null
    then ", over a window whose place is known to \($place) us: \($cost) hundredths of a point wider"
    else "" end;

# How much longer a window may be than it was asked for, in ms, because the machine let the client wait: the time that its
# threads waited for a core, and the longest time for which the observer itself was not run.
def machine_delay:
  .observer | (maybe(.waited_ms) | numbers // 0) + (maybe(.window.largest_gap_ms) | numbers // 0);

# How much a window may differ from what it says, in ms: a share of it, and what reading every thread takes.
def window_slack($t): [$t.window * ., 5] | max;

# The claimed window: there, where it was asked for, and as long as it says. Where nobody observed, the trigger is the report's
# own, and nobody knows how long the machine let the client wait.
def window_rows($t; $id; $report):
  "\($report).members[\"metadata.json\"].json.window" as $where
  | maybe(.members["metadata.json"].json.window.start_monotonic_ns) as $start
  | maybe(.members["metadata.json"].json.window.end_monotonic_ns) as $until
  | maybe(.metrics.sample_window_ms) as $nominal
  | (if ($start | type) == "number" and ($until | type) == "number" then ($until - $start) / 1000000
     else null end) as $span
  | machine_delay as $delay
  | ((.triggered_monotonic_ns | type) == "number" and (.appeared_monotonic_ns | type) == "number") as $seen
  | maybe(.members["metadata.json"].json.triggered_monotonic_ns) as $own_trigger
  | (if $seen or ($own_trigger | type) == "number" then null
     else "nobody observed when this report was asked for" end) as $unseen
  | {
      check: "\($id).window.inside",
      title: "the claimed window lies between the trigger and the zip's appearance (its nearer end, inwards)",
      measured: (
        if $span == null then "absent"
        elif $unseen != null then null
        elif $seen | not then ($start - $own_trigger) / 1000000
        else ([$start - .triggered_monotonic_ns, .appeared_monotonic_ns - $until] | min) / 1000000 end),
      allowed: {min: 0},
      unit: "ms",
      where: $where,
      remedy: "The report is an older one, or its times are not of this machine's monotonic clock.",
      reason: $unseen
    },
    {
      check: "\($id).window.span",
      title: "the claimed window is as long as the one asked for",
      measured: ($span | figure(null)),
      allowed: (
        if ($nominal | type) == "number" and $nominal > 0 then
          around($nominal; $nominal | window_slack($t)) | .max += $delay
        else "sample_window_ms, which is no positive number" end),
      unit: "ms",
      where: $where,
      remedy: "The sampler overslept, or the times were not taken around the window. On a loaded machine, run again.",
      reason: (
        if ($seen | not) and ($nominal | type) == "number" and $nominal > 0 and ($span | type) == "number"
          and $span > $nominal + ($nominal | window_slack($t))
        then "the window is longer than the one asked for, and nobody observed how long the machine let the client wait"
        else null end)
    },
    (
      select(maybe(.metrics | has("measured_window_ms")) == true)
      | {
          check: "\($id).window.measured",
          title: "the window that the sampler measured is the one claimed",
          measured: (maybe(.metrics.measured_window_ms) | figure(null)),
          allowed: (
            if ($span | type) == "number" and $span > 0 then
              around($span; $span | window_slack($t)) | .min = ([0, .min - $delay] | max)
            else "the claimed window, which is absent or empty" end),
          unit: "ms",
          where: "\($report).metrics.measured_window_ms",
          remedy: "Percentages are of the measured window: measure it, do not copy the nominal one."
        }
    );

def process_row($t; $id; $report):
  blind($t) as $blind
  | {
      check: "\($id).process",
      title: "process CPU against the observer\(found_from_outside)",
      measured: process_cpu,
      allowed: (if $blind == null then around(.observer.cpu_percent; process_slack($t)) else null end),
      unit: "% of a core",
      where: "\($report).metrics.process.cpu_percent",
      remedy: (
        "Near 0 under load: the clock counts ended threads only, as macOS's MACH_TASK_BASIC_INFO does. "
        + "Off by a factor: ticks taken for nanoseconds, or a window that was not measured."),
      reason: $blind
    };

# Threads that ended inside the window are in the process's figure and in no thread's. How much they had, the observer
# says; so the sum may lie below the process by the CPU of every task that it saw and the report does not list. Which
# threads must be listed is test 6's to judge. Without an observer only the upper bound holds.
def sum_row($t; $id; $report):
  process_cpu as $process
  | thread_list as $threads
  | [$threads[] | maybe(.cpu_percent)] as $shares
  | (reduce $threads[] as $thread ({}; .[$thread | maybe(.tid) | key] = true)) as $listed
  | ([task_list[] | select($listed[.tid | key] == null) | .cpu_percent | numbers] | add // 0) as $ended
  | (if ($process | type) == "number" then [$t.relative * $process, $t.process_floor] | max else null end) as $slack
  | (
      if all($shares[]; type == "number" and . >= 0) then $shares | add // 0
      else "a thread's cpu_percent is absent or no figure" end
    ) as $sum
  | {
      check: "\($id).sum",
      title: "the threads' CPU adds up to the process's",
      measured: $sum,
      allowed: (
        if $slack == null then "process.cpu_percent, which is no number"
        elif blind($t) == null then {min: ([0, $process - $ended - $slack] | max), max: ($process + $slack)}
        else {max: ($process + $slack)} end),
      unit: "% of a core",
      where: "\($report).metrics.threads",
      remedy: "One of the two clocks is wrong: see which of the rows beside this one fails.",
      reason: (
        if $slack != null and ($sum | type) == "number" and $sum < $process - $slack and blind($t) != null
        then "the threads have much less CPU than the process: had others that ended? \(blind($t))"
        else null end)
    };

# Every thread that the observer knows by its id; the one that is furthest out of its range stands for all.
def threads_row($t; $id; $report):
  blind($t) as $blind
  | found_from_outside as $found
  | (if $blind == null then .observer.cpu_resolution_points else 0 end) as $resolution
  | (reduce task_list[] as $task ({}; .[$task.tid | key] = $task)) as $observed
  | thread_list as $threads
  | [
      range(0; $threads | length) as $j
      | $observed[$threads[$j] | maybe(.tid) | key] as $task
      | maybe($task.cpu_percent) as $expected
      | select(($expected | type) == "number")
      | ([$resolution, maybe($task.cpu_resolution_points) // 0] | max) as $resolution
      | ($threads[$j] | maybe(.cpu_percent) | figure(null)) as $measured
      | (([$t.relative * $expected, $t.thread_floor] | max) + $resolution) as $slack
      | {
          $measured,
          allowed: around($expected; $slack),
          where: "\($report).metrics.threads[\($j)].cpu_percent",
          excess: (
            if ($measured | type) != "number" or $measured < 0 then 1e300
            else ($measured - $expected | fabs) - $slack end)
        }
    ]
  | reduce .[] as $thread (null; if . == null or $thread.excess > .excess then $thread else . end)
  | . as $worst
  | {
      check: "\($id).threads",
      title: "each thread's CPU against the observer (the worst of all)\($found)",
      measured: $worst.measured,
      allowed: $worst.allowed,
      unit: "% of a core",
      where: ($worst.where // "\($report).metrics.threads"),
      remedy: "Is the figure another thread's, a rate instead of a difference, or one over the thread's life?",
      reason: (
        if $blind != null then $blind
        elif $worst == null then "the observer knows no thread of this report (test 6 judges the ids)"
        else null end)
    };

# A figure that never moves can lie inside both ranges: from idle to busy it has to rise as the observer's did.
def rise_row($t):
  (.reports | map(.label)) as $labels
  | ([range(0; $labels | length) | select($labels[.] == "idle")] | .[0]) as $i
  | ([range(0; $labels | length) | select($labels[.] == "busy")] | .[0]) as $b
  | (if $i == null then null else .reports[$i] end) as $idle
  | (if $b == null then null else .reports[$b] end) as $busy
  | (if $i == null or $b == null then "there is no idle or no busy report"
     else ($idle | blind($t)) // ($busy | blind($t)) end) as $blind
  | (
      if $blind != null then {reason: $blind}
      else
        ($busy.observer.cpu_percent - $idle.observer.cpu_percent) as $rise
        | ($rise - ([$t.relative * $rise, $t.process_floor] | max)
            - $idle.observer.cpu_resolution_points - $busy.observer.cpu_resolution_points) as $least
        | if $busy.observer.cpu_percent < $t.busy / 2
          then {reason: "the load fell away: the observer saw less than half of busy_percent"}
          elif $least <= 0 then {reason: "the load rose too little to tell a true figure from a constant one"}
          else {least: $least} end
      end) as $expected
  | {
      check: "3.rise",
      title: "process CPU rises from idle to busy as the observer's does",
      measured: (
        ($idle | process_cpu) as $from | ($busy | process_cpu) as $to
        | if ($from | type) == "number" and ($to | type) == "number" then $to - $from
          else "one of the two figures is absent" end),
      allowed: (if $expected.reason == null then {min: $expected.least} else null end),
      unit: "% of a core",
      where: (if $b == null then ".reports" else ".reports[\($b)].metrics.process.cpu_percent" end),
      remedy: "A figure that does not follow the load is a constant, or an old one. Skipped: draw faster.",
      reason: $expected.reason
    };

. as $evidence
| thresholds as $t
| [.reports[].label | select(. == "idle" or . == "busy")] as $loads
| (
    {
      check: "3.reports",
      title: "an idle and a busy report are there to be judged",
      measured: $loads,
      allowed: ["idle", "busy"],
      where: ".reports",
      remedy: "CPU is judged at rest and under load: take both reports in one session.",
      reason: (
        if .client == null and $loads != ["idle", "busy"] then "the reports were sent, not asked for: at rest or under load, nobody says"
        else null end)
    },
    (
      range(0; .reports | length) as $i
      | "3.\(.reports[$i].label)" as $id
      | ".reports[\($i)]" as $report
      | $evidence.reports[$i]
      | window_rows($t; $id; $report),
        process_row($t; $id; $report),
        sum_row($t; $id; $report),
        threads_row($t; $id; $report)
    ),
    rise_row($t)
  )
| judged
