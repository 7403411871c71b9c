#!/bin/sh
# Stands in for cargo, rustup and every action in a rehearsal: notes its call, and ends as REHEARSAL_PLAN says. The plan is
# words of the form JOB:NUMBER:END. NUMBER counts the leg's calls from 0; END is an exit code, or `hang`. No other program is
# started: a rehearsal makes thousands of calls. What a step prints can be lost when it fails, so the calls go to a file.
program=${0##*/}
[ "$program" = action ] && program=
calls="$REHEARSAL_CALLS/$GITHUB_JOB,$REHEARSAL_LEG"
number=0
if [ -f "$calls" ]; then
  while read -r _; do number=$((number + 1)); done <"$calls"
fi
echo "$program $*" >>"$calls"
end=0
for planned in $REHEARSAL_PLAN; do
  case $planned in "$GITHUB_JOB:$number:"*) end=${planned##*:} ;; esac
done
case $end in
hang)
  # The cancellation ends it.
  echo HANGS
  [ -f "$REHEARSAL_CALLS/cancelled" ] || exec sleep 60
  ;;
0) verdict=pass ;;
3) verdict=inconclusive ;;
*) verdict=fail ;;
esac
echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
[ "$end" = hang ] || exit "$end"
