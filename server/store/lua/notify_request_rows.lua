-- notify_request_rows: the rows of what visitors asked of notify, as the scripts read and write them.
-- gives  read_request(text)   its asked_at, tries, claim ('-' = none), content and about
--        request_text(row)    the text of it; only `about` may have blanks

local function read_request(text)
  local asked_at, tries, claim, content, about = string.match(text, '^(%S+) (%d+) (%S+) (%S+) (.*)$')
  return { asked_at = asked_at, tries = tonumber(tries), claim = claim, content = content, about = about }
end

local function request_text(row)
  return table.concat({ row.asked_at, row.tries, row.claim, row.content, row.about }, ' ')
end
