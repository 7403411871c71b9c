# Test 4. Claim: resident size, virtual size and, on macOS, the footprint are true.
# Judged: each against the observer's readings of the same kind just before and just after the end of the window, like with
# like (the resident size is not what Activity Monitor calls "Memory": that is the footprint); virtual against resident.

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# A figure of the process as it was read, or words where there is none. Words never pass.
def figure($field):
  maybe(.metrics.missing["process." + $field]) as $why
  | maybe(.metrics.process[$field])
  | if type == "number" then .
    elif . != null then "a \(type) where a number belongs"
    elif ($why | type) == "string" then "absent: \($why[0:200])"
    else "absent" end;

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

# The lowest and the highest that the observer read around the end of the window: the client read its own figure between.
def seen($observed):
  .observer[$observed] as $nearest
  | maybe(.observer.memory_bracket[$observed]) as $bracket
  | if ($bracket | type) == "array" and ($bracket | length) == 2 and all($bracket[]; type == "number")
    then [([$bracket[0], $nearest] | min), ([$bracket[1], $nearest] | max)]
    else [$nearest, $nearest] end;

# The width of that range, where there is one.
def width($observed):
  if (maybe(.observer[$observed]) | type) != "number" then ""
  else seen($observed) as [$low, $high]
    | if $low == $high then "" else ", which rose or fell by \($high - $low) KiB around the end of the window" end
  end;

# One figure against the observer's of the same kind. However wide the tolerance, 0 is never a size.
def size_row($t; $field; $observed):
  (
    if (.observer | type) != "object" then "nobody observed this report from outside"
    elif .observer.unavailable != null then "\(.observer.unavailable)"
    elif (.observer[$observed] | type) != "number" then "the observer could not read \($observed)"
    else null end
  ) as $blind
  | figure($field) as $measured
  | {
      $measured,
      allowed: (
        if $blind != null then (if ($measured | type) == "number" then null else "a figure" end)
        else
          seen($observed) as [$low, $high]
          | def slack: [$t.relative * ., $t.floor_kb] | max;
          {min: ([1, $low - ($low | slack)] | max), max: ($high + ($high | slack))}
        end),
      unit: "KiB",
      # What is not there fails, observed or not.
      reason: (if ($measured | type) == "number" then $blind else null end)
    };

. as $evidence
| {relative: threshold("memory_relative"), floor_kb: threshold("memory_floor_kb")} as $t
| range(0; .reports | length) as $i
| $evidence.reports[$i]
| "4.\(.label)" as $id
| ".reports[\($i)].metrics.process" as $process
| (
    size_row($t; "rss_kb"; "resident_kb") + {
      check: "\($id).rss",
      title: "resident size against the observer\(width("resident_kb"))",
      where: "\($process).rss_kb",
      remedy: "Off by 4 or 16: pages taken for KiB. By 1024: bytes. By some tens of percent on macOS: the footprint."
    },
    size_row($t; "vm_size_kb"; "virtual_kb") + {
      check: "\($id).vm",
      title: "virtual size against the observer\(width("virtual_kb"))",
      where: "\($process).vm_size_kb",
      remedy: "Off by 4 or 16: pages taken for KiB. By 1024: bytes."
    },
    (
      select($evidence.environment.os == "macos")
      | size_row($t; "footprint_kb"; "footprint_kb") + {
          check: "\($id).footprint",
          title: "physical footprint against the observer\(width("footprint_kb"))",
          where: "\($process).footprint_kb",
          remedy: "The footprint is TASK_VM_INFO's phys_footprint, not the resident size."
        }
    ),
    {
      check: "\($id).order",
      title: "virtual size is not below resident size",
      measured: figure("vm_size_kb"),
      allowed: (
        figure("rss_kb") as $rss
        | if ($rss | type) == "number" then {min: $rss} else "process.rss_kb, which is no number" end),
      unit: "KiB",
      where: "\($process).vm_size_kb",
      remedy: "What is resident is mapped: the two are swapped, or of different units."
    }
  )
| judged
