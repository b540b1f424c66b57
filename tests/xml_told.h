// For tests and fuzz targets: what a document says, told by XmlScanner and by expat.
#pragma once
#include <expat.h>

#include <string>
#include <string_view>

#include "deskhand/base/error.h"
#include "deskhand/tickets/xml_scanner.h"

namespace deskhand::told {

// Events as text, adjoining texts joined: "<row r=1|" "</row|" "text|".
struct Told {
  std::string events;
  bool is_good = true;
  std::string why;  // of the scanner
};

inline std::string_view local_name(std::string_view name) {
  return name.substr(name.rfind(':') + 1);
}

inline Told scan(std::string_view document, std::size_t piece) {
  Told told;
  bool in_text = false;
  XmlEvents events;
  const auto mark = [&](bool text) {
    if (in_text && !text) told.events += '|';
    in_text = text;
  };
  events.on_start = [&](std::string_view name, const XmlAttributes& attributes) {
    mark(false);
    told.events += fmt::format("<{} r={} s={}|", name, attributes["r"], attributes["s"]);
  };
  events.on_end = [&](std::string_view name) {
    mark(false);
    told.events += fmt::format("</{}|", name);
  };
  events.on_text = [&](std::string_view text) {
    mark(true);
    told.events += text;
  };
  XmlScanner scanner(events);
  for (std::size_t at = 0; told.is_good && at < document.size(); at += piece)
    told.is_good = scanner.feed(document.substr(at, piece), false) == XmlScanner::Outcome::kGood;
  told.is_good = told.is_good && scanner.feed({}, true) == XmlScanner::Outcome::kGood;
  told.why = scanner.why();
  return told;
}

inline Told expat(std::string_view document) {
  struct State {
    Told told;
    bool in_text = false;
    void mark(bool text) {
      if (in_text && !text) told.events += '|';
      in_text = text;
    }
  } state;
  XML_Parser parser = XML_ParserCreate(nullptr);
  XML_SetUserData(parser, &state);
  XML_SetElementHandler(
      parser,
      [](void* self, const char* name, const char** pairs) {
        auto& at = *static_cast<State*>(self);
        at.mark(false);
        std::string_view r, s;
        for (; *pairs; pairs += 2) {
          if (r.empty() && local_name(*pairs) == "r") r = pairs[1];
          if (s.empty() && local_name(*pairs) == "s") s = pairs[1];
        }
        at.told.events += fmt::format("<{} r={} s={}|", local_name(name), r, s);
      },
      [](void* self, const char* name) {
        auto& at = *static_cast<State*>(self);
        at.mark(false);
        at.told.events += fmt::format("</{}|", local_name(name));
      });
  XML_SetCharacterDataHandler(parser, [](void* self, const char* text, int length) {
    auto& at = *static_cast<State*>(self);
    at.mark(true);
    at.told.events.append(text, static_cast<std::size_t>(length));
  });
  state.told.is_good = XML_Parse(parser, document.data(), static_cast<int>(document.size()), 1) == XML_STATUS_OK;
  XML_ParserFree(parser);
  return state.told;
}

}  // namespace deskhand::told
