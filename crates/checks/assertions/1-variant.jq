# Test 1. Claim: every report carries the populated variant of its platform, with at least one thread, and figures that
# a process can have.
# Judged: the report's own JSON; its platform against the machine that the harness ran on (environment.os).

# Bounds of every process, whatever the machine: 4,096 cores, 2^57 bytes of addresses, 50 years. A living process has memory:
# 0 is an unread figure. It is mapped and resident in pages, of 4 KiB at least on every platform. Wrong units and numbers past
# all bounds stand out even where no observer saw the process.
def limits: [
  {name: "cpu_percent", least: 0, most: 409600},
  {name: "rss_kb", least: 1, most: 140737488355328, page: 4},
  {name: "vm_size_kb", least: 1, most: 140737488355328, page: 4},
  {name: "footprint_kb", least: 1, most: 140737488355328},
  {name: "uptime_secs", least: 0, most: 1577880000}
];

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

# A thread runs on one core at a time. Twice that allows for clocks that tick every 10 ms.
def thread_limit: {least: 0, most: 200};

# Whether a figure is out of these bounds. What is no number, other tests judge.
def impossible($limit):
  type == "number"
  and (. < $limit.least or . > $limit.most or ($limit.page != null and (. / $limit.page | . != floor)));

# A range admits numbers alone, a plain value admits its equal.
def judged:
  .measured as $measured | .allowed as $allowed
  | .passed = (
      if ($allowed | type) == "object" then
        ($measured | type) == "number"
        and ($allowed.min == null or $measured >= $allowed.min)
        and ($allowed.max == null or $measured <= $allowed.max)
      else $measured == $allowed end);

. as $evidence
| range(0; .reports | length) as $i
| $evidence.reports[$i]
| "1.\(.label)" as $id
| ".reports[\($i)].metrics" as $metrics
| maybe(.metrics.platform) as $platform
| maybe(.metrics.process) as $process
| maybe(.metrics.threads) as $threads
| (
    {
      check: "\($id).platform",
      title: "the platform is the one that the report was taken on",
      measured: (
        if ($platform | type) == "string" then $platform[0:100]
        elif $platform == null then "absent"
        else "a \($platform | type) where text belongs" end),
      allowed: $evidence.environment.os,
      where: "\($metrics).platform",
      remedy: "`platform` is std::env::consts::OS of the client, unaltered."
    },
    {
      check: "\($id).variant",
      title: "the variant with figures is there",
      measured: [
        (if ($process | type) != "object" then "process is no object" else empty end),
        (if ($threads | type) != "array" then "threads is no array" else empty end),
        (if maybe(.metrics.available) == false then "available is false" else empty end)
      ],
      allowed: [],
      where: $metrics,
      remedy: "The client wrote no figures: its `reason` and its log say why. Is it built for a platform with a backend?"
    },
    {
      check: "\($id).threads",
      title: "at least one thread is listed",
      measured: (if ($threads | type) == "array" then $threads | length else "no list of threads" end),
      allowed: {min: 1},
      unit: "threads",
      where: "\($metrics).threads",
      remedy: "A living process has a thread: the enumeration failed without saying so."
    },
    {
      check: "\($id).possible",
      title: "every figure is one that a process can have (those that are not)",
      measured: ([
        (limits[] as $limit | select(maybe($process[$limit.name]) | impossible($limit)) | $limit.name),
        (
          (if ($threads | type) == "array" then $threads else [] end) as $list
          | range(0; $list | length) as $j
          | select(maybe($list[$j].cpu_percent) | impossible(thread_limit))
          | "threads[\($j)].cpu_percent"
        )
      ] | .[0:10]),
      allowed: [],
      where: $metrics,
      remedy: "A negative difference of two clocks, another unit (sizes are whole pages), or a field never written (memory of 0)."
    }
  )
| judged
