# One line a card of GET /v1/nodes: what is used, of what there is.
.items[] | .name as $node
| if (.cards | length) == 0 then [$node, "no cards"] else
    .cards[] | [$node, .uuid, .type,
      "shares \(.shares.used)/\(.shares.total)",
      "memory \(.memoryMiB.used)/\(.memoryMiB.total) MiB",
      "cores \(.coresPercent.used)/\(.coresPercent.total) %",
      (if .healthy then empty else "unhealthy" end),
      (if .cordoned then "cordoned" else empty end)]
  end
| join("  ")
