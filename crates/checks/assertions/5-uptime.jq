# Test 5. Claim: the first report shows the process's real age, and uptime advances as the clock does.
# Judged: uptime_secs against the kernel's start time of the process and the monotonic clock at the end of each window;
# of reports that were sent, against their own stamps; and against the window and the session that the report itself tells of.

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# Uptime as it was read, or words where there is none. Words never pass.
def uptime:
  maybe(.metrics.missing["process.uptime_secs"]) as $why
  | maybe(.metrics.process.uptime_secs)
  | if type == "number" then .
    elif . != null then "a \(type) where a number belongs"
    elif ($why | type) == "string" then "absent: \($why[0:200])"
    else "absent" end;

# Seconds of uptime between two reports, or words where one has none.
def advance($from; $to):
  ($from | uptime) as $before | ($to | uptime) as $after
  | if ($after | type) != "number" then $after
    elif ($before | type) != "number" then "the report before has no uptime"
    else $after - $before end;

# Uptime is read at the end of the claimed window. Where that claim is absent, or no window that could have been, the
# zip's appearance, shortly after, stands in for it: the claim itself is test 3's to judge.
def end_ns:
  maybe(.members["metadata.json"].json.window.start_monotonic_ns) as $start
  | maybe(.members["metadata.json"].json.window.end_monotonic_ns) as $until
  | if (.appeared_monotonic_ns | type) != "number" then $until
    elif ($start | type) == "number" and ($until | type) == "number"
      and .triggered_monotonic_ns <= $start and $start < $until and $until <= .appeared_monotonic_ns then $until
    else .appeared_monotonic_ns end;

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

def threshold($name): .thresholds[$name] | if type == "number" then . else error("thresholds.\($name) is no number") end;

# How long the process was there at the least, as the report tells: to sample a window, and for a session. The session's uptime
# is read later than the process's, on a machine that may be slow: a minute later at the most.
def told_secs($slack):
  [
    maybe(.metrics.sample_window_ms | numbers / 1000 - $slack),
    (
      maybe(.members["metadata.json"].json.session_uptime_secs),
      maybe(.members["session.json"].json.uptime_secs)
      | numbers - 60
    )
  ]
  | max // 0;

# The time between two moments, as far as uptime may differ from it.
def elapsed($from_ns; $to_ns; $slack):
  if ($from_ns | type) == "number" and ($to_ns | type) == "number" then
    ($to_ns - $from_ns) / 1000000000 | {min: ([0, . - $slack] | max), max: (. + $slack)}
  else null end;

# The same between reports that were sent, by their own stamps. These are cut off (to whole seconds, mostly) and are of the
# trigger, while uptime is read up to a window later: `within_secs` holds both.
def elapsed_by_stamps($from; $to; $slack):
  ($from | maybe(.stamped.unix_secs)) as $start | ($to | maybe(.stamped.unix_secs)) as $until
  | if ($start | type) == "number" and ($until | type) == "number" then
      ([$from, $to] | map(.stamped.within_secs) | max) as $within
      # Two reports of one moment may come in either order.
      | ($until - $start) | {min: (. - $slack - $within), max: (. + $slack + $within)}
    else null end;

. as $evidence
| threshold("uptime_secs") as $slack
| range(0; .reports | length) as $i
| $evidence.reports[$i]
| $evidence.reports[0] as $first
| "5.\(.label)" as $id
| {unit: "s", where: ".reports[\($i)].metrics.process.uptime_secs"} as $common
| (
    $common + {
      check: "\($id).present",
      title: "uptime is there, and covers the sampled window and the session",
      measured: uptime,
      allowed: {min: ([0.001, told_secs($slack)] | max)},
      remedy: "Call init_at_startup() as the first statement of main(). If it is: is the session's uptime right?"
    },
    if $i == 0 then
      elapsed($evidence.client.started_monotonic_ns; end_ns; $slack) as $age
      | $common + {
          check: "\($id).age",
          title: "uptime is the process's age",
          measured: uptime,
          allowed: $age,
          remedy: "Too small: it counts from the first sample or session, not from main(). Too large: from the boot.",
          reason: (if $age == null then "the start of the process was not observed" else null end)
        }
    else
      $evidence.reports[$i - 1] as $previous
      | (elapsed($first | end_ns; end_ns; $slack) // elapsed_by_stamps($first; .; $slack)) as $elapsed
      | $common + {
          check: "\($id).advance",
          title: "uptime since the first report advanced as the clock did",
          measured: advance($first; .),
          allowed: $elapsed,
          remedy: "Frozen: an old report, or a value that is kept. Less: the clock was started anew, or stops in sleep.",
          reason: (if $elapsed == null then "nobody observed when the reports were taken" else null end)
        },
        $common + {
          check: "\($id).order",
          title: "uptime is more than the report before had",
          measured: advance($previous; .),
          allowed: (
            (elapsed_by_stamps($previous; .; $slack) | .min) as $least
            | {min: (if $least == null then 0.001 else [0.001, $least] | min end)}),
          remedy: "Uptime never stands still and never falls: is it a wall clock, an old report, or another process?"
        }
    end
  )
| judged
