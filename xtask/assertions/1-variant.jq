# Test 1. Claim: every report carries the populated variant of its platform, with at least one thread.
# Judged: the report's own JSON; its platform against the machine that the harness ran on (environment.os).

# The value of f, or null where the input has no such place.
def maybe(f): [(f)?] | .[0];

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
    }
  )
| judged
