# Test 6. Claim: the reports come from a real session of this client, and list its threads: enough of them, each once,
# by the ids and names that the kernel has, a Tokio worker among them.
# Judged: runtime-metrics.json; its threads against the tasks that the observer saw in the window; session.json and
# metadata.json against the source and the process that the harness started.

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# A text as it was read, in a length that fits a table, or words where there is none.
def text:
  if type == "string" then .[0:200] elif . == null then "absent" else "a \(type) where text belongs" end;

def number:
  if type == "number" then . elif . == null then "absent" else "a \(type) where a number belongs" end;

# Thread ids as the keys of an object. What is no whole number is nobody's id.
def key: if type == "number" and . == floor then floor | tostring else "no tid" end;

# Whether a number is above the one before it. (Where that is no number, it alone is at fault.)
def above($before): ($before | type) != "number" or . > $before;

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

def threshold($name; $type):
  .thresholds[$name] | if type == $type then . else error("thresholds.\($name) is no \($type)") end;

# The report's threads by themselves.
def list_rows($t; $id; $list; $threads):
  [$threads[] | maybe(.tid)] as $tids
  | {
      check: "\($id).count",
      title: "as many threads as a real session has",
      measured: ($threads | length),
      allowed: {min: $t.min_threads},
      unit: "threads",
      where: $list,
      remedy: "One alone: the sampler lists its own, not the process's. A few: no session, or no multi-threaded runtime."
    },
    {
      check: "\($id).ascending",
      title: "thread ids are whole, ascend, and occur once (those that do not)",
      measured: ([
        range(0; $tids | length) as $j
        | $tids[$j]
        | select((type == "number" and . > 0 and . == floor and ($j == 0 or above($tids[$j - 1]))) | not)
        | number
      ] | .[0:10]),
      allowed: [],
      where: "\($list)[].tid",
      remedy: "Sort by tid; a tid twice is a thread that was listed again while others came or went."
    },
    {
      check: "\($id).worker",
      title: "a Tokio worker is among the names (\($t.worker_name))",
      measured: ([$threads[] | maybe(.name) | strings | select(test($t.worker_name))] | length),
      allowed: {min: 1},
      unit: "threads",
      where: "\($list)[].name",
      remedy: "Names absent or cut short: see how they are read. Another runtime than Tokio: relax this check in the client's profile."
    };

# The report's threads against those that the observer saw. Only tasks that were there in every reading must be listed,
# and by name: others may have ended, or not yet have had one. The other way there is no tolerance: a listed thread was
# alive when the window ended, so it is in the observer's readings around that moment, unless it lived for less than the
# time between two of them.
def observed_rows($id; $list; $threads):
  (
    if (.observer | type) != "object" then "nobody observed this report from outside"
    elif .observer.unavailable != null then "\(.observer.unavailable)"
    elif (.observer.tasks | type) != "array" then "the observer could not list the threads"
    else null end
  ) as $blind
  | (if $blind == null then .observer.tasks else [] end) as $tasks
  | (reduce $threads[] as $thread ({}; .[$thread | maybe(.tid) | key] = [$thread | maybe(.name)])) as $named
  | (reduce $tasks[] as $task ({}; .[$task.tid | key] = true)) as $seen
  | {
      check: "\($id).complete",
      title: "every thread that was there throughout is listed (ids of those that are not)",
      measured: ([$tasks[] | select(.whole_window == true and $named[.tid | key] == null) | .tid] | .[0:10]),
      allowed: [],
      where: $list,
      remedy: "The list was cut short, or is an old one: is the buffer of the enumeration large enough?",
      reason: $blind
    },
    {
      check: "\($id).names",
      title: "threads have the names that the kernel has (ids of those that do not)",
      measured: ([
        $tasks[]
        | select(.whole_window == true)
        | $named[.tid | key] as $name
        | select($name != null and $name[0] != .name)
        | .tid
      ] | .[0:10]),
      allowed: [],
      where: "\($list)[].name",
      remedy: "A name of another thread: ids and names were read in two passes. An old one: threads are renamed.",
      reason: $blind
    },
    {
      check: "\($id).seen",
      title: "every listed thread was seen by the observer (ids of those that were not)",
      measured: ([$threads[] | maybe(.tid) | select($seen[key] == null) | number] | .[0:10]),
      allowed: [],
      where: "\($list)[].tid",
      remedy: "Ids of another kind (pthread_t, a Mach port), of another process, of threads long ended, or invented.",
      reason: $blind
    };

# The session, and whose report it is. Where nobody observed the process, the report has to agree with itself: on Linux the main
# thread's id is the process's, and it is listed even when that thread has ended before the process (proc(5)).
def session_rows($evidence; $id; $members):
  $evidence.source.surface as $surface
  | maybe(.members["session.json"].json.connected) as $connected
  | (maybe(.members["metadata.json"].json.report_type) == "disconnect") as $of_a_loss
  | maybe(.members["metadata.json"].json.pid) as $pid
  | ($evidence.client.pid == null and $evidence.environment.os == "linux" and $pid != null) as $by_threads
  | any((.metrics.threads[])?; maybe(.tid) == $pid) as $listed
  # Ids of an outer pid namespace are greater than those of an inner one.
  | ($by_threads and ($listed | not) and all((.metrics.threads[])?; (maybe(.tid) | type) == "number" and .tid > $pid)) as $inner
  | {
      check: "\($id).connected",
      title: (if $of_a_loss then "the session is lost, as the report's type says" else "the session is up" end),
      measured: (if ($connected | type) == "boolean" then $connected else $connected | text end),
      allowed: ($of_a_loss | not),
      where: "\($members)[\"session.json\"].json.connected",
      remedy: "The client lost its session, or never had one: see its log and the source's."
    },
    {
      check: "\($id).surface",
      title: (
        if ($surface | type) == "object"
        then "a surface of the source's size is there (\($surface.width) x \($surface.height))"
        else "a surface of some size is there" end),
      measured: ([
        (.members["session.json"].json.surfaces[])?
        | [maybe(.width), maybe(.height)]
        | select(all(.[]; type == "number" and . > 0))
        | select(($surface | type) != "object" or . == [$surface.width, $surface.height])
      ] | length),
      allowed: {min: 1},
      unit: "surfaces",
      where: "\($members)[\"session.json\"].json.surfaces",
      remedy: "Without a surface nothing is drawn and the load is not real: did the display channel connect?"
    },
    {
      check: "\($id).target",
      title: "the report is of a session with the source that was started",
      measured: (maybe(.members["metadata.json"].json.target) | text),
      allowed: $evidence.client.target,
      where: "\($members)[\"metadata.json\"].json.target",
      remedy: "The report is of another session: was an old zip picked up?",
      reason: (if $evidence.client.target == null then "the source of this session is not known" else null end)
    },
    {
      check: "\($id).pid",
      title: (
        if $by_threads then "the process is that of the listed threads: its main thread is among them"
        else "the report is of the process that was started" end),
      measured: ($pid | number),
      allowed: (
        if $by_threads | not then $evidence.client.pid
        elif $listed then $pid
        else "the id of a listed thread" end),
      where: "\($members)[\"metadata.json\"].json.pid",
      remedy: "The report is of another process: was an old zip picked up, or does another client share the folder?",
      reason: (
        if $evidence.client.pid == null and ($by_threads | not) then "the process of this session is not known"
        elif $inner then "the process id may be of a pid namespace in which the threads have other ids"
        else null end)
    };

# What was drawn between rest and load.
def frames_row:
  def frames: maybe(.members["session.json"].json.frames_received) | number;
  ([.reports[] | select(.label == "idle")] | .[0]) as $idle
  | ([.reports[] | select(.label == "busy")] | .[0]) as $busy
  | ($idle | frames) as $from
  | ($busy | frames) as $to
  | {
      check: "6.session.frames",
      title: "draws arrived between the idle and the busy report",
      measured: (
        if ($from | type) == "number" and ($to | type) == "number" then $to - $from
        else "frames_received is absent or no number" end),
      allowed: {min: 1},
      unit: "draws",
      where: ".reports[].members[\"session.json\"].json.frames_received",
      remedy: "The load did not come from the session: does the source draw, and does the client apply it?",
      reason: (if $idle == null or $busy == null then "there is no idle or no busy report" else null end)
    };

. as $evidence
| {min_threads: threshold("min_threads"; "number"), worker_name: threshold("worker_name"; "string")} as $t
| (
    (
      range(0; .reports | length) as $i
      | $evidence.reports[$i]
      | (maybe(.metrics.threads) | if type == "array" then . else [] end) as $threads
      | ".reports[\($i)].metrics.threads" as $list
      | list_rows($t; "6.\(.label)"; $list; $threads),
        observed_rows("6.\(.label)"; $list; $threads),
        session_rows($evidence; "6.session.\(.label)"; ".reports[\($i)].members")
    ),
    frames_row
  )
| judged
