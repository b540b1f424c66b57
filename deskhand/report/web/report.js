// Makes a report interactive: charts by Plotly.js (where it is there; otherwise the static drawings follow the choices), the list of
// tickets, the switch of light and dark. Data is globalThis.deskhandReport (data.js). Texts reach the page as text nodes only, and Plotly's
// labels, which know some tags, through label(). documentElement.dataset tells a check: figures (to draw), charts (drawn), errors.
'use strict';
(() => {
  const root = document.documentElement;
  const data = globalThis.deskhandReport ?? null;
  const Plotly = globalThis.Plotly ?? null;
  root.classList.add('scripted');
  Object.assign(root.dataset, {errors: '0', charts: '0', figures: '0'});
  const countError = () => { root.dataset.errors = String(Number(root.dataset.errors) + 1); };
  for (const kind of ['error', 'unhandledrejection']) window.addEventListener(kind, countError);
  document.addEventListener('securitypolicyviolation', countError);

  // ---- small helpers -----------------------------------------------------------------------------------------------------------------

  // h("td", { class: "number" }, "text", node): texts become text nodes.
  function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on'))
        element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false)
        element.setAttribute(name, value === true ? '' : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
  const isDefined = (estimate) => Array.isArray(estimate) && isNumber(estimate[0]);
  // Rounded as decimal() of words.cpp rounds: tables and charts show the same digits.
  function shown(value, digits) {
    const scale = 10 ** digits;
    const text = (Math.floor(value * scale + 0.5) / scale).toFixed(digits);
    return Number(text) === 0 ? text.replace('-', '') : text;
  }

  function formatBytes(bytes) {
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let unit = 0;
    for (; bytes >= 999.5 && unit + 1 < units.length; ++unit) bytes /= 1000;
    return `${shown(bytes, unit === 0 || bytes >= 100 ? 0 : 1)} ${units[unit]}`;
  }

  // As value_text() of words.cpp.
  function formatValue(measure, value) {
    if (!isNumber(value)) return 'not defined';
    if (measure.unit === '%') return `${shown(100 * value, 1)} %`;
    if (measure.unit === '0..100') return shown(value, 1);
    if (measure.unit === '') return shown(value, 3);
    if (measure.unit === 'bytes') return formatBytes(value);
    const whole = ['tokens', 'words', 'MiB'].includes(measure.unit);
    return `${shown(value, whole ? (Math.abs(value) < 10 ? 1 : 0) : Math.abs(value) < 10 ? 2 : 1)} ${measure.unit}`;
  }
  const formatEstimate = (measure, e) =>
      isDefined(e) ? `${formatValue(measure, e[0])} (${formatValue(measure, e[1])} to ${formatValue(measure, e[2])})` : `not defined: ${e}`;

  // A text for Plotly, which reads a few tags: nothing of it may be one. Long ones are broken into lines.
  function label(text, width = 0) {
    const escape = (part) => part.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('%{', '% {');
    if (!width || text.length <= width) return escape(text);
    const lines = [''];
    for (const word of text.split(' ')) {
      const last = lines.length - 1;
      if (lines[last] && lines[last].length + word.length + 1 > width)
        lines.push(word);
      else
        lines[last] += (lines[last] ? ' ' : '') + word;
    }
    const kept = lines.slice(0, 3).map((line) => line.length > width + 6 ? `${line.slice(0, width + 4)}…` : line);
    if (lines.length > 3) kept[2] += '…';
    return kept.map(escape).join('<br>');
  }

  // ---- light and dark ----------------------------------------------------------------------------------------------------------------

  const systemDark = window.matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => root.dataset.theme ? root.dataset.theme === 'dark' : systemDark.matches;
  function remembered(value) {
    try {
      if (value === undefined) return localStorage.getItem('deskhand-theme') ?? 'auto';
      localStorage.setItem('deskhand-theme', value);
    } catch { /* pages from disk may have no store: the choice lasts as long as the page */
    }
    return value ?? 'auto';
  }
  function applyTheme(theme) {
    if (theme === 'light' || theme === 'dark')
      root.dataset.theme = theme;
    else
      delete root.dataset.theme;
  }
  function startTheme(redraw) {
    const select = document.getElementById('theme');
    if (!select) return;
    const asked = new URLSearchParams(location.search).get('theme');
    select.value = ['auto', 'light', 'dark'].includes(asked) ? asked : remembered();
    if (!select.value) select.value = 'auto';
    applyTheme(select.value);
    select.closest('.theme').hidden = false;
    select.addEventListener('change', () => {
      remembered(select.value);
      applyTheme(select.value);
      redraw();
    });
    systemDark.addEventListener('change', redraw);
  }
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // ---- charts ------------------------------------------------------------------------------------------------------------------------

  const series = [
    ['#2563a8', '#7ab3ef'], ['#c8501e', '#f2955f'], ['#1b7f5f', '#4fc79d'], ['#8e3a87', '#d38bcb'], ['#8a6a00', '#dcb93c'],
    ['#0e7c93', '#57c4dc']
  ];
  const symbols = ['circle', 'square', 'diamond', 'triangle-up', 'cross'];
  const dashes = ['solid', 'dash', 'dot', 'dashdot', 'longdash'];
  const seriesColour = (i) => series[i % series.length][isDark() ? 1 : 0];
  const colourOf = (system) => isDark() ? system.style.colourDark : system.style.colour;
  const symbolOf = (system) => system.style.symbol + (system.baseline ? '-open' : '');
  const heat = () => isDark() ? [[0, '#18212b'], [0.33, '#1f4a78'], [0.66, '#4b8fd0'], [1, '#d4e7fa']] :
                                [[0, '#f7fafd'], [0.33, '#a6c8e4'], [0.66, '#3e7eb8'], [1, '#0d3266']];
  const measureIndex = (id) => data.measures.findIndex((measure) => measure.id === id);
  const split = data?.splits[0] ?? null;
  const ordered = () => split ? [...split.systems.filter((s) => !s.baseline), ...split.systems.filter((s) => s.baseline)] : [];
  const wayOf = (measure) => measure.better === 'higher' ? ' (higher is better)' : measure.better === 'lower' ? ' (lower is better)' : '';

  function axis(title, more = {}) {
    return {
      title: title ? {text: title, font: {size: 13}, standoff: 10} : undefined,
      gridcolor: css('--plot-grid'),
      linecolor: css('--strong-line'),
      zerolinecolor: css('--strong-line'),
      automargin: true,
      ...more
    };
  }
  const perCent = (more = {}) => ({tickformat: '.0%', ...more});
  const legendBelow = {orientation: 'h', y: -0.22, x: 0, font: {size: 12}};

  // Values on the x axis of a measure: from zero, to full where the values come near it.
  function measureAxis(measure, highest) {
    const full = measure.unit === '%' ? 1 : measure.unit === '0..100' ? 100 : 0;
    const unit = ['', '%', '0..100'].includes(measure.unit) ? '' : `, ${measure.unit}`;
    return axis(
        label(measure.title + unit + wayOf(measure)),
        {...(measure.unit === '%' ? perCent() : {}), ...(full && highest > full / 2 ? {range: [0, 1.02 * full]} : {rangemode: 'tozero'})});
  }
  const whiskers = (estimates, colour) => ({
    type: 'data',
    symmetric: false,
    array: estimates.map((e) => e[2] - e[0]),
    arrayminus: estimates.map((e) => e[0] - e[1]),
    color: colour,
    thickness: 1.6,
    width: 5
  });

  // figure id -> (choice by selector, extra controls) => { traces, layout, height }
  const drawers = {
    measures({measure: id}) {
      const m = measureIndex(id), measure = data.measures[m];
      const rows = ordered().filter((system) => isDefined(system.estimates[m]));
      if (!rows.length) return null;
      const estimates = rows.map((system) => system.estimates[m]);
      return {
        traces: [{
          type: 'bar',
          orientation: 'h',
          y: rows.map((_, i) => i),
          x: estimates.map((e) => e[0]),
          error_x: whiskers(estimates, css('--ink')),
          marker: {
            color: rows.map(colourOf),
            opacity: rows.map((s) => s.baseline ? 0.55 : 0.9),
            pattern: {shape: rows.map((s) => s.baseline ? '/' : ''), solidity: 0.35, size: 7}
          },
          text: rows.map((s) => label(`${s.name}${s.baseline ? ' (baseline)' : ''}`)),
          customdata: estimates.map((e) => label(formatEstimate(measure, e))),
          textposition: 'none',
          hovertemplate: '%{text}<br>%{customdata}<extra></extra>'
        }],
        layout: {
          xaxis: measureAxis(measure, Math.max(...estimates.map((e) => e[2]))),
          yaxis: axis('', {
            tickvals: rows.map((_, i) => i),
            ticktext: rows.map((s) => `${label(s.name, 24)} ${s.style.mark}`),
            autorange: 'reversed',
            showgrid: false,
            zeroline: false
          }),
          bargap: 0.35
        },
        height: Math.max(260, 44 * rows.length + 90),
      };
    },

    confusion({label: which, system: s}, extra) {
      const system = split.systems[Number(s)], {labels, counts} = system[which];
      if (!labels.length) return null;
      const width = labels.length + 1, count = (r, c) => counts[r * width + c] ?? 0;
      const sums = labels.map((_, r) => Array.from({length: width}, (_, c) => count(r, c)).reduce((a, b) => a + b, 0));
      const share = (r, c) => sums[r] ? count(r, c) / sums[r] : 0;
      const byShare = extra.shown !== 'counts';
      const columns = [...labels, 'none or other'];
      const grid = (cell) => labels.map((_, r) => columns.map((_, c) => cell(r, c)));
      const size = columns.length > 16 ? 9 : columns.length > 9 ? 11 : 13;
      return {
        traces: [{
          type: 'heatmap',
          z: grid(byShare ? share : count),
          zmin: 0,
          ...(byShare ? {zmax: 1} : {}),
          colorscale: heat(),
          xgap: 2,
          ygap: 2,
          text: grid(
              (r, c) => count(r, c) === 0 ? '' :
                  byShare                 ? `${Math.round(100 * share(r, c))} %` :
                                            String(count(r, c))),
          texttemplate: '%{text}',
          textfont: {size},
          customdata: grid((r, c) => [label(labels[r]), label(columns[c]), count(r, c), `${shown(100 * share(r, c), 1)} %`]),
          hovertemplate:
              'truth %{customdata[0]}<br>answer %{customdata[1]}<br>%{customdata[2]} tickets, %{customdata[3]} of the row<extra></extra>',
          colorbar: {thickness: 12, outlinewidth: 0, ...(byShare ? {tickformat: '.0%'} : {})}
        }],
        layout: {
          xaxis: axis('Answer', {
            tickvals: columns.map((_, i) => i),
            ticktext: columns.map((text) => label(text, 14)),
            showgrid: false,
            zeroline: false,
            side: 'bottom'
          }),
          yaxis: axis('Truth', {
            tickvals: labels.map((_, i) => i),
            ticktext: labels.map((text) => label(text, 18)),
            autorange: 'reversed',
            showgrid: false,
            zeroline: false
          }),
          shapes: labels.map(
              (_, i) => ({type: 'rect', x0: i - 0.5, x1: i + 0.5, y0: i - 0.5, y1: i + 0.5, line: {color: css('--ink'), width: 1.2}}))
        },
        height: Math.min(720, Math.max(380, 30 * labels.length + 150)),
      };
    },

    radar(_, extra) {
      const systems = (extra.systems ?? split.radarSystems).map((s) => split.systems[s]).filter(Boolean);
      const limit = (measure) => measure.unit === '0..100' ? 100 : 1;
      const fits = (m) => data.measures[m].better === 'higher' && ['%', '0..100', ''].includes(data.measures[m].unit) &&
          systems.every((s) => isDefined(s.estimates[m]) && s.estimates[m][0] >= 0 && s.estimates[m][0] <= limit(data.measures[m]));
      const rest = data.measures.map((_, m) => m).filter((m) => !data.keys.includes(m));
      const chosen = [...data.keys, ...rest].filter(fits).slice(0, 8);
      if (!systems.length || chosen.length < 3) return null;
      const around = [...chosen, chosen[0]];
      return {
        traces: systems.map((system) => ({
                              type: 'scatterpolar',
                              name: label(system.name, 40),
                              r: around.map((m) => 100 * system.estimates[m][0] / limit(data.measures[m])),
                              theta: around.map((m) => label(data.measures[m].title, 16)),
                              customdata: around.map((m) => label(formatEstimate(data.measures[m], system.estimates[m]))),
                              text: around.map(() => label(system.name)),
                              hovertemplate: '%{text}<br>%{theta}: %{customdata}<extra></extra>',
                              mode: 'lines+markers',
                              line: {color: colourOf(system), dash: system.style.dash, width: 2},
                              marker: {symbol: symbolOf(system), size: 8, color: colourOf(system)},
                              fill: 'toself',
                              fillcolor: `${colourOf(system)}14`
                            })),
        layout: {
          polar: {
            bgcolor: 'transparent',
            radialaxis: {range: [0, 100], gridcolor: css('--plot-grid'), linecolor: css('--line'), tickfont: {size: 10}},
            angularaxis: {gridcolor: css('--plot-grid'), linecolor: css('--strong-line'), direction: 'clockwise'}
          },
          showlegend: true,
          legend: {...legendBelow, y: -0.12},
          margin: {l: 70, r: 70, t: 40, b: 40}
        },
        height: 460,
      };
    },

    similarity({system: s}) {
      const system = split.systems[Number(s)], {similarity: x, ratio: y, ticket} = system.points;
      const {slope, intercept, r} = system.similarity;
      const low = x.reduce((a, b) => Math.min(a, b), 1), high = x.reduce((a, b) => Math.max(a, b), -1);
      const traces = [];
      if (x.length >= 20)
        traces.push({
          type: 'histogram2dcontour',
          x,
          y,
          ncontours: 12,
          colorscale: isDark() ? [[0, '#18212b00'], [1, '#2f6aa8']] : [[0, '#ffffff00'], [1, '#8fbbe4']],
          showscale: false,
          line: {width: 0},
          hoverinfo: 'skip',
          nbinsx: 24,
          nbinsy: 20
        });
      traces.push({
        type: 'scatter',
        mode: 'markers',
        x,
        y,
        text: ticket.map((row) => row === null ? '' : label(split.tickets.id[row])),
        marker:
            {color: colourOf(system), size: x.length > 2000 ? 4 : 6.5, opacity: x.length > 2000 ? 0.35 : 0.7, symbol: system.style.symbol},
        hovertemplate: 'ticket %{text}<br>similarity %{x:.3f}<br>fuzzy ratio %{y:.1f}<extra></extra>'
      });
      if (isDefined(r))
        traces.push({
          type: 'scatter',
          mode: 'lines',
          x: [low, high],
          y: [low, high].map((value) => slope * value + intercept),
          line: {color: css('--ink'), width: 2.2, dash: 'dash'},
          hoverinfo: 'skip'
        });
      return {
        traces,
        layout: {
          xaxis: axis('Mean similarity of the found cases (cosine)'),
          yaxis: axis('Fuzzy ratio of the resolution', {range: [0, 102]}),
          showlegend: false,
          annotations: [{
            xref: 'paper',
            yref: 'paper',
            x: 0.01,
            y: 0.99,
            xanchor: 'left',
            yanchor: 'top',
            showarrow: false,
            text: isDefined(r) ? `r = ${shown(r[0], 2)}` : `r is not defined: ${label(r)}`,
            font: {size: 15},
            bgcolor: css('--paper'),
            borderpad: 4
          }]
        },
      };
    },

    reliability({label: which, system: s}) {
      const system = split.systems[Number(s)], detail = system[which];
      const trace = (bins, name, colour, symbol, dash) => {
        const most = Math.max(1, ...bins.map((bin) => bin[2]));
        return {
          type: 'scatter',
          mode: 'lines+markers',
          name,
          x: bins.map((bin) => bin[0]),
          y: bins.map((bin) => bin[1]),
          customdata: bins.map((bin) => bin[2]),
          line: {color: colour, dash, width: 2},
          marker: {symbol, color: colour, size: bins.map((bin) => 7 + 13 * Math.sqrt(bin[2] / most))},
          hovertemplate: `${name}: %{x:.1%} sure, %{y:.1%} right<br>%{customdata} tickets<extra></extra>`
        };
      };
      const traces = [{
        type: 'scatter',
        mode: 'lines',
        name: 'exactly as sure as right',
        x: [0, 1],
        y: [0, 1],
        line: {color: css('--strong-line'), dash: 'dot', width: 1.5},
        hoverinfo: 'skip'
      }];
      if (detail.scaled.length) traces.push(trace(detail.scaled, 'after temperature scaling', seriesColour(1), 'diamond-open', 'dash'));
      traces.push(trace(detail.reliability, 'as given', seriesColour(0), 'circle', 'solid'));
      return {
        traces,
        layout:
            {xaxis: axis('Confidence', perCent({range: [0, 1.03]})), yaxis: axis('Right', perCent({range: [0, 1.05]})), legend: legendBelow}
      };
    },

    coverage({label: which}) {
      const traces =
          ordered()
              .filter((system) => system[which].coverage.length)
              .map((system) => ({
                     type: 'scatter',
                     mode: 'lines',
                     name: label(system.name, 40),
                     x: system[which].coverage.map((p) => p[1]),
                     y: system[which].coverage.map((p) => p[2]),
                     customdata: system[which].coverage.map((p) => p[0]),
                     text: system[which].coverage.map(() => label(system.name)),
                     line: {color: colourOf(system), dash: system.style.dash, width: system.baseline ? 1.6 : 2.4},
                     hovertemplate: '%{text}<br>taken %{x:.0%}, right %{y:.1%}<br>from confidence %{customdata:.2f}<extra></extra>'
                   }));
      return traces.length ? {
        traces,
        layout: {
          xaxis: axis('Share of tickets taken (coverage)', perCent({range: [0, 1.02]})),
          yaxis: axis('Right among them', perCent({rangemode: 'normal'})),
          legend: legendBelow,
          showlegend: true
        }
      } :
                             null;
    },

    retrieval({quality}) {
      const methods = [...new Set(split.retrieval.map((row) => row.method))],
            ks = [...new Set(split.retrieval.map((row) => row.k))].sort((a, b) => a - b);
      const traces = methods.map((method, i) => {
        const rows = split.retrieval.filter((row) => row.method === method && isDefined(row[quality])).sort((a, b) => a.k - b.k),
              estimates = rows.map((row) => row[quality]);
        return {
          type: 'scatter',
          mode: 'lines+markers',
          name: label(method),
          x: rows.map((row) => ks.indexOf(row.k) + 0.035 * (i - (methods.length - 1) / 2)),
          y: estimates.map((e) => e[0]),
          customdata: rows.map((row, j) => [row.k, label(formatEstimate({unit: ''}, estimates[j]))]),
          error_y: whiskers(estimates, seriesColour(i)),
          line: {color: seriesColour(i), dash: dashes[i % dashes.length], width: 2},
          marker: {symbol: symbols[i % symbols.length], size: 9},
          hovertemplate: 'k = %{customdata[0]}: %{customdata[1]}<extra>%{fullData.name}</extra>'
        };
      });
      return {
        traces,
        layout: {
          xaxis: axis('Cases looked at (k)', {tickvals: ks.map((_, i) => i), ticktext: ks.map(String), zeroline: false}),
          yaxis: axis('', {rangemode: 'tozero'}),
          legend: legendBelow,
          showlegend: true
        }
      };
    },

    training() {
      const traces = data.training.flatMap(
          (run, i) =>
              [{
                type: 'scatter',
                mode: 'lines',
                name: `${label(run.name)}, each step`,
                x: run.epoch,
                y: run.loss,
                line: {color: seriesColour(i), width: 0.8},
                opacity: 0.3,
                hoverinfo: 'skip',
                visible: 'legendonly'
              },
               {
                 type: 'scatter',
                 mode: 'lines',
                 name: `${label(run.name)}, training`,
                 x: run.epoch,
                 y: run.smooth,
                 line: {color: seriesColour(i), width: 2.2},
                 hovertemplate: 'epoch %{x:.2f}: %{y:.3f}<extra>%{fullData.name}</extra>'
               },
               {
                 type: 'scatter',
                 mode: 'lines+markers',
                 name: `${label(run.name)}, validation`,
                 x: run.evalEpoch,
                 y: run.evalLoss,
                 line: {color: seriesColour(i), width: 1.8, dash: 'dash'},
                 marker: {symbol: `${symbols[i % 4]}-open`, size: 8},
                 hovertemplate: 'epoch %{x:.2f}: %{y:.3f}<extra>%{fullData.name}</extra>'
               },
      ]);
      return {
        traces,
        layout: {xaxis: axis('Epoch', {rangemode: 'tozero'}), yaxis: axis('Loss'), legend: {...legendBelow, y: -0.25}, showlegend: true}
      };
    },

    differences({measure: id}) {
      const measure = data.measures[measureIndex(id)];
      const rows = split.differences.filter((d) => d.measure === id && isDefined(d.difference));
      if (!rows.length) return null;
      const place = new Map(rows.map((row, i) => [row, i]));
      const trace = (matters) => {
        const part = rows.filter((row) => row.matters === matters), colour = matters ? css('--accent') : css('--soft');
        return {
          type: 'scatter',
          mode: 'markers',
          name: matters ? 'more than chance' : 'cannot tell',
          x: part.map((d) => d.difference[0]),
          y: part.map((d) => place.get(d)),
          error_x: {...whiskers(part.map((d) => d.difference), colour), thickness: matters ? 2.4 : 1.4},
          marker: {symbol: matters ? 'circle' : 'circle-open', size: 10, color: colour},
          customdata: part.map((d) => label(`${d.b} against ${d.a}: ${formatEstimate(measure, d.difference)}, ${d.verdict}`, 60)),
          hovertemplate: '%{customdata}<extra></extra>'
        };
      };
      const side = measure.better === 'lower' ? ' (left: the first is better)' :
          measure.better === 'higher'         ? ' (right: the first is better)' :
                                                '';
      return {
        traces: [trace(true), trace(false)].filter((t) => t.x.length),
        layout: {
          xaxis: axis(
              `Difference${side}`,
              measure.unit === '%' ? {tickformat: '+.0%', zerolinewidth: 2, zerolinecolor: css('--ink')} :
                                     {zerolinewidth: 2, zerolinecolor: css('--ink')}),
          yaxis: axis('', {
            tickvals: rows.map((_, i) => i),
            ticktext: rows.map((d) => label(`${d.b} against ${d.a}`, 60)),
            autorange: 'reversed',
            zeroline: false
          }),
          showlegend: true,
          legend: {orientation: 'h', y: 1.02, yanchor: 'bottom', x: 0}
        },
        height: Math.max(280, 34 * rows.length + 130),
      };
    },

    splits({measure: id}) {
      const m = measureIndex(id), measure = data.measures[m];
      const names = [...new Set(data.splits.flatMap((one) => one.systems.map((system) => system.name)))];
      let highest = 0;
      const traces = data.splits.map((one, i) => {
        const rows = one.systems.filter((system) => isDefined(system.estimates[m])), estimates = rows.map((system) => system.estimates[m]);
        highest = Math.max(highest, ...estimates.map((e) => e[2]));
        return {
          type: 'scatter',
          mode: 'markers',
          name: label(one.name),
          x: estimates.map((e) => e[0]),
          y: rows.map((system) => names.indexOf(system.name) + 0.2 * (i - (data.splits.length - 1) / 2)),
          error_x: whiskers(estimates, seriesColour(i)),
          marker: {color: seriesColour(i), symbol: symbols[i % symbols.length], size: 10},
          customdata: rows.map((system, j) => label(`${system.name}: ${formatEstimate(measure, estimates[j])}`)),
          hovertemplate: '%{customdata}<extra>%{fullData.name}</extra>'
        };
      });
      return {
        traces,
        layout: {
          xaxis: measureAxis(measure, highest),
          yaxis: axis('', {
            tickvals: names.map((_, i) => i),
            ticktext: names.map((name) => label(name, 24)),
            range: [names.length - 0.5, -0.5],
            zeroline: false
          }),
          showlegend: true,
          legend: {orientation: 'h', y: 1.02, yanchor: 'bottom', x: 0}
        },
        height: Math.max(300, 52 * names.length + 130)
      };
    },
  };

  // Controls that only interactive charts have: figure id -> (container, changed) => function that reads them.
  const extras = {
    confusion(container, changed) {
      const select =
          h('select', {name: 'shown', onchange: changed}, h('option', {value: 'share'}, 'Share of the row'),
            h('option', {value: 'counts'}, 'Tickets'));
      container.append(h('label', {}, 'Shown ', select));
      return () => ({shown: select.value});
    },
    radar(container, changed) {
      const boxes = split.systems.map((system, i) => {
        const box = h('input', {type: 'checkbox', value: String(i), onchange: changed});
        box.checked = split.radarSystems.includes(i);
        return [box, h('label', {}, box, ` ${system.style.mark} ${system.name}`)];
      });
      container.append(h('fieldset', {}, h('legend', {}, 'Systems (two or more)'), ...boxes.map(([, text]) => text)));
      return () => ({systems: boxes.filter(([box]) => box.checked).map(([box]) => Number(box.value))});
    },
  };

  // Left to itself Plotly offers to send a chart, and with it the desk's figures, to its maker's server.
  const plotlyConfig = {
    showSendToCloud: false,
    plotlyServerURL: '',
    displaylogo: false,
    responsive: true,
    displayModeBar: 'hover',
    modeBarButtonsToRemove: ['sendChartToCloud', 'lasso2d', 'select2d', 'autoScale2d', 'pan2d', 'zoomIn2d', 'zoomOut2d']
  };

  class Figure {
    constructor(element) {
      this.element = element;
      this.id = element.dataset.figure;
      this.plot = element.querySelector('.plot');
      this.charts = [...element.querySelectorAll('.chart')];
      const controls = element.querySelector('.controls');
      this.selects = [...controls.querySelectorAll('select')];
      for (const select of this.selects)
        select.addEventListener('change', () => {
          this.choose(select);
          this.draw();
        });
      this.readExtras = Plotly && data && extras[this.id] ? extras[this.id](controls, () => this.draw()) : () => ({});
      controls.hidden = controls.childElementCount === 0;
      this.drawn = false;
      this.adopt(element.querySelector('.chart.chosen'));
    }

    adopt(chart) {
      const values = chart.dataset.choice.split('|');
      this.selects.forEach((select, i) => { select.value = values[i]; });
      for (const other of this.charts) other.classList.toggle('chosen', other === chart);
      this.chart = chart;
    }

    // Not every combination exists (a system without probabilities): the changed choice stays, the others follow.
    choose(changed) {
      const wanted = this.selects.map((select) => select.value), index = this.selects.indexOf(changed);
      const exact = this.charts.find((chart) => chart.dataset.choice === wanted.join('|'));
      const near = this.charts.find((chart) => chart.dataset.choice.split('|')[index] === wanted[index]);
      this.adopt(exact ?? near ?? this.chart);
    }

    async draw() {
      const drawer = drawers[this.id];
      const choice = Object.fromEntries(this.selects.map((select) => [select.name, select.value]));
      const content = Plotly && data && split && drawer ? drawer(choice, this.readExtras()) : null;
      this.element.classList.toggle('drawn', content !== null);
      this.plot.hidden = content === null;
      if (content) {
        this.plot.style.height = `${content.height ?? 400}px`;
        this.plot.setAttribute('aria-label', this.chart.querySelector('.message').textContent);
        const layout = {
          font: {family: getComputedStyle(document.body).fontFamily, size: 12.5, color: css('--ink')},
          paper_bgcolor: 'transparent',
          plot_bgcolor: 'transparent',
          margin: {l: 64, r: 18, t: 16, b: 56},
          showlegend: false,
          height: content.height ?? 400,
          hoverlabel: {
            bgcolor: css('--paper'),
            bordercolor: css('--strong-line'),
            font: {color: css('--ink'), family: getComputedStyle(document.body).fontFamily},
            align: 'left',
            namelength: 30
          },
          modebar: {bgcolor: 'transparent', color: css('--soft'), activecolor: css('--accent')},
          dragmode: false,
          ...content.layout
        };
        await Plotly.react(this.plot, content.traces, layout, {
          ...plotlyConfig,
          toImageButtonOptions:
              {format: 'svg', filename: this.chart.querySelector('a[download]').getAttribute('href').split('/').pop().replace('.svg', '')}
        });
      }
      if (!this.drawn && (content || !Plotly)) {
        this.drawn = true;
        root.dataset.charts = String(Number(root.dataset.charts) + 1);
      }
    }
  }

  // ---- tickets -----------------------------------------------------------------------------------------------------------------------

  class TicketList {
    constructor(container) {
      this.container = container;
      this.split = 0;
      this.page = 0;
      this.build();
      this.selectSplit(0);
    }

    get part() { return data.splits[this.split]; }
    get system() { return this.part.systems[Number(this.systemSelect.value)] ?? null; }
    text(number) { return number === null || number === undefined ? '' : data.texts[number]; }

    build() {
      const refresh = () => {
        this.page = 0;
        this.filter();
      };
      let timer = 0;
      const select = (options, change = refresh) =>
          h('select', {onchange: change}, ...options.map(([value, text]) => h('option', {value}, text)));
      this.splitSelect = select(data.splits.map((one, i) => [i, one.name]), () => this.selectSplit(Number(this.splitSelect.value)));
      this.systemSelect = select([], () => {
        this.haystacks = null;
        refresh();
      });
      this.query = h('input', {
        type: 'search',
        autocomplete: 'off',
        spellcheck: 'false',
        oninput: () => {
          clearTimeout(timer);
          timer = setTimeout(refresh, 120);
        }
      });
      const rightness = [['any', 'Any'], ['right', 'Right'], ['wrong', 'Wrong']];
      this.urgency = select(rightness);
      this.category = select(rightness);
      this.categorySelect = select([]);
      this.sort = select([
        ['', 'As they were held out'], ['id', 'Ticket'],
        ...data.measures.map((m, i) => [m, i]).filter(([m]) => m.perTicket).map(([m, i]) => [String(i), m.title])
      ]);
      this.direction = select([['down', 'Highest first'], ['up', 'Lowest first']]);
      this.size = select([['25', '25'], ['50', '50'], ['100', '100']]);
      const field = (name, control) => h('label', {}, name, control);
      this.count = h('p', {role: 'status', 'aria-live': 'polite'});
      this.previous =
          h('button', {
            type: 'button',
            onclick: () => {
              this.page -= 1;
              this.render();
            }
          },
            'Previous');
      this.next =
          h('button', {
            type: 'button',
            onclick: () => {
              this.page += 1;
              this.render();
            }
          },
            'Next');
      this.head = h('tr');
      this.body = h('tbody');
      const table = h(
          'table', {class: 'tickets'}, h('caption', {}, 'Held-out tickets; a ticket\'s button opens its cases, answer, truth and measures'),
          h('thead', {}, this.head), this.body);
      this.container.append(
          h('div', {class: 'filters', role: 'search', 'aria-label': 'Filter tickets'},
            data.splits.length > 1 ? field('Split', this.splitSelect) : null, field('System', this.systemSelect),
            field('Text or ticket', this.query), field('Category answer', this.category), field('Urgency answer', this.urgency),
            field('True category', this.categorySelect), field('Sort by', this.sort), field('Order', this.direction),
            field('Tickets a page', this.size)),
          h('div', {class: 'pager'}, this.previous, this.next, this.count),
          h('div', {class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Tickets'}, table));
    }

    selectSplit(index) {
      this.split = index;
      this.systemSelect.replaceChildren(
          ...this.part.systems.map((system, i) => h('option', {value: i}, `${system.name}${system.baseline ? ' (baseline)' : ''}`)));
      if (this.part.systems.length) this.systemSelect.value = String(this.part.main);
      const categories = [...new Set(this.part.tickets.category.filter((c) => c !== null))]
                             .map((c) => [String(c), this.text(c)])
                             .sort((a, b) => a[1].localeCompare(b[1]));
      this.categorySelect.replaceChildren(
          h('option', {value: ''}, 'Any'), ...categories.map(([value, text]) => h('option', {value}, text)));
      this.haystacks = null;
      this.page = 0;
      this.filter();
    }

    // true, false, or null where the truth or the answer's value is not known. The evaluation's own judgement comes first.
    isRight(which, row, system = this.system) {
      const truth = this.part.tickets[which][row];
      const judged = system?.values[measureIndex(`${which}_accuracy`)]?.[row];
      if (isNumber(judged)) return judged >= 0.5;
      return truth === null || !system?.answers ? null : system.answers[which][row] === truth;
    }

    haystack(row) {
      this.haystacks ??= [];
      const {tickets} = this.part, answers = this.system?.answers;
      return this.haystacks[row] ??= [
        tickets.id[row], this.text(tickets.problem[row]), this.text(tickets.resolution[row]), this.text(answers?.resolution[row]),
        this.text(answers?.category[row]), this.text(tickets.category[row])
      ].join('\n').toLowerCase();
    }

    filter() {
      const words = this.query.value.toLowerCase().split(/\s+/).filter(Boolean), truth = this.categorySelect.value;
      const wanted = (choice, right) => choice === 'any' || (right !== null && (choice === 'right') === right);
      const rows = [];
      for (let row = 0; row < this.part.tickets.id.length; ++row) {
        if (truth !== '' && String(this.part.tickets.category[row]) !== truth) continue;
        if (!wanted(this.urgency.value, this.isRight('urgency', row)) || !wanted(this.category.value, this.isRight('category', row)))
          continue;
        if (words.length && !words.every((word) => this.haystack(row).includes(word))) continue;
        rows.push(row);
      }
      this.rows = this.sorted(rows);
      this.render();
    }

    sorted(rows) {
      const way = this.direction.value === 'up' ? 1 : -1, key = this.sort.value;
      if (key === 'id')
        return rows.sort((a, b) => -way * this.part.tickets.id[a].localeCompare(this.part.tickets.id[b], undefined, {numeric: true}));
      const column = key === '' ? null : this.system?.values[Number(key)];
      if (!column) return rows;
      // What is not defined comes last either way.
      return rows.sort(
          (a, b) => (isNumber(column[a]) ? 0 : 1) - (isNumber(column[b]) ? 0 : 1) || way * ((column[a] ?? 0) - (column[b] ?? 0)) || a - b);
    }

    // The sorted measure and two more that say something of each ticket's text.
    columns() {
      const usable = data.measures.map((_, m) => m).filter((m) => data.measures[m].perTicket && this.system?.values[m]?.some(isNumber));
      const telling = usable.filter((m) => data.keys.includes(m) && data.measures[m].section !== 'Labels').slice(0, 2);
      const chosen = this.sort.value !== '' && this.sort.value !== 'id' ? [Number(this.sort.value)] : [];
      return [...new Set([...chosen, ...telling])];
    }

    render() {
      const size = Number(this.size.value), pages = Math.max(1, Math.ceil(this.rows.length / size));
      this.page = Math.min(Math.max(this.page, 0), pages - 1);
      const first = this.page * size, page = this.rows.slice(first, first + size), columns = this.columns();
      this.count.textContent =
          this.rows.length ? `${first + 1} to ${first + page.length} of ${this.rows.length} tickets` : 'No ticket fits these filters.';
      this.previous.disabled = this.page === 0;
      this.next.disabled = this.page >= pages - 1;
      const heads = ['Ticket', 'Problem', 'Truth', 'Category answer', 'Urgency answer', ...columns.map((m) => data.measures[m].title)];
      this.head.replaceChildren(...heads.map((text) => h('th', {scope: 'col'}, text)));
      this.body.replaceChildren(...page.map((row) => this.line(row, columns, heads.length)));
    }

    // A ticket's value; what counts tickets (right or wrong) is a yes or a no. Where the system has no such measure at all, its reason.
    value(system, m, row) {
      const value = system?.values[m]?.[row], whole = system?.estimates[m];
      if (isNumber(value))
        return data.measures[m].unit === '%' && (value === 0 || value === 1) ? (value ? 'yes' : 'no') :
                                                                               formatValue(data.measures[m], value);
      return h('span', {class: 'undefined'}, 'not defined ', h('small', {}, typeof whole === 'string' ? whole : 'for this ticket'));
    }

    answer(which, row, system = this.system) {
      const right = this.isRight(which, row, system), value = system?.answers?.[which][row];
      const text = !system?.answers ? (right === null ? 'not known' :
                                           right      ? 'right' :
                                                        'wrong') :
          value === null            ? 'none given' :
          which === 'category'      ? this.text(value) :
                                      String(value);
      const spoken = right === null || !system?.answers ? '' : right ? 'right: ' : 'wrong: ';
      return h(
          'span',
          {class: right === null ? null :
               right             ? 'right' :
                                   'wrong',
           'aria-label': spoken ? spoken + text : null,
           dir: 'auto'},
          text);
    }

    truth(row) {
      const {urgency, category} = this.part.tickets;
      return `${category[row] === null ? 'category not known' : this.text(category[row])}, urgency ${urgency[row] ?? 'not known'}`;
    }

    line(row, columns, width) {
      const {tickets} = this.part, id = `ticket-${this.split}-${row}`;
      const open =
          h('button', {
            type: 'button',
            class: 'open',
            'aria-expanded': 'false',
            'aria-controls': id,
            onclick: () => this.toggle(open, line, row, id, width)
          },
            tickets.id[row] || '(no id)');
      const problem =
          tickets.problem[row] === null ? (data.texts_left_out ? 'left out' : 'not part of this report') : this.text(tickets.problem[row]);
      const line =
          h('tr', {}, h('th', {scope: 'row'}, open), h('td', {class: 'problem'}, h('div', {dir: 'auto'}, problem.slice(0, 400))),
            h('td', {}, this.truth(row)), h('td', {}, this.answer('category', row)), h('td', {}, this.answer('urgency', row)),
            ...columns.map((m) => h('td', {class: 'number'}, this.value(this.system, m, row))));
      return line;
    }

    toggle(button, line, row, id, width) {
      const isOpen = button.getAttribute('aria-expanded') === 'true';
      button.setAttribute('aria-expanded', String(!isOpen));
      if (isOpen)
        line.nextSibling.remove();
      else
        line.after(h('tr', {class: 'detail', id}, h('td', {colspan: width}, this.detail(row))));
    }

    detail(row) {
      const {tickets, systems} = this.part, answers = this.system?.answers ?? null;
      const passage = (number, missing) => number === null || number === undefined ?
          h('p', {}, data.texts_left_out ? 'left out of this report' : missing) :
          h('p', {class: 'text', dir: 'auto'}, this.text(number));
      const sure = (which) => isNumber(answers?.[`${which}Sure`][row]) ? `, ${shown(100 * answers[`${which}Sure`][row], 0)} % sure` : '';
      const found = answers?.cases[row] ?? [];
      const cases = found.map(([number, similarity], i) => {
        const [id, problem, resolution, category, urgency] = data.cases[number];
        return h(
            'div', {class: 'case'},
            h('h4', {}, `${i + 1}. ${id}, similarity ${isNumber(similarity) ? shown(similarity, 3) : 'not defined'}`),
            h('p', {}, `${category === null ? 'category not known' : this.text(category)}, urgency ${urgency ?? 'not known'}`),
            passage(problem, 'no text'), h('h4', {class: 'next'}, 'It was resolved so'), passage(resolution, 'no text'));
      });
      const measures = data.measures.map((measure, m) => [measure, m])
                           .filter(
                               ([measure, m]) => measure.perTicket && !['category_accuracy', 'urgency_accuracy'].includes(measure.id) &&
                                   systems.some((system) => isNumber(system.values[m]?.[row])));
      const table = h(
          'div', {class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Measures of this ticket'},
          h('table', {}, h('caption', {}, 'Every measure of this ticket, every system'),
            h('thead', {},
              h('tr', {}, h('th', {scope: 'col'}, 'Measure'),
                ...systems.map((system) => h('th', {scope: 'col'}, `${system.style.mark} ${system.name}`)))),
            h('tbody', {},
              h('tr', {}, h('th', {scope: 'row'}, 'Category'),
                ...systems.map((system) => h('td', {}, this.answer('category', row, system)))),
              h('tr', {}, h('th', {scope: 'row'}, 'Urgency'), ...systems.map((system) => h('td', {}, this.answer('urgency', row, system)))),
              ...measures.map(
                  ([measure, m]) =>
                      h('tr', {}, h('th', {scope: 'row'}, measure.title),
                        ...systems.map((system) => h('td', {class: 'number'}, this.value(system, m, row))))))));
      return h(
          'div', {},
          h('div', {class: 'ticket-parts'},
            h('div', {}, h('h4', {}, `Ticket${tickets.received[row] ? `, received ${tickets.received[row]}` : ''}`),
              passage(tickets.problem[row], 'Its text is not part of this report.')),
            h('div', {}, h('h4', {}, 'Truth'), h('p', {}, this.truth(row)), h('h4', {class: 'next'}, 'True resolution'),
              passage(tickets.resolution[row], 'not known')),
            h('div', {}, h('h4', {}, `Answer of ${this.system?.name ?? 'no system'}`),
              h('p', {}, this.answer('category', row), sure('category')),
              h('p', {}, 'urgency ', this.answer('urgency', row), sure('urgency')), h('h4', {class: 'next'}, 'Answered resolution'),
              passage(answers?.resolution[row], 'none given'),
              answers && answers.source[row] !== null ? h('p', {}, h('small', {}, `from: ${this.text(answers.source[row])}`)) : null)),
          h('h4', {class: 'next'}, found.length ? 'Cases that were found' : 'No cases were found'), h('div', {class: 'cases'}, ...cases),
          table);
    }
  }

  // ---- start -------------------------------------------------------------------------------------------------------------------------

  function markSection() {
    const links = new Map([...document.querySelectorAll('.sections a')].map((a) => [a.getAttribute('href').slice(1), a]));
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries)
        if (entry.isIntersecting)
          for (const [id, a] of links) id === entry.target.id ? a.setAttribute('aria-current', 'true') : a.removeAttribute('aria-current');
    }, {rootMargin: '-15% 0px -75% 0px'});
    for (const id of links.keys()) {
      const section = document.getElementById(id);
      if (section) watcher.observe(section);
    }
  }

  const figures = [...document.querySelectorAll('.figure')].filter((element) => element.querySelector('.chart'));
  root.dataset.figures = String(figures.length);
  const drawn = [];
  startTheme(() => drawn.forEach((figure) => figure.draw()));
  markSection();
  const list = document.getElementById('ticket-list');
  if (list && data && data.splits.length) new TicketList(list);
  // One after the other, so that the page stays usable while charts are drawn.
  (async () => {
    for (const element of figures) {
      try {
        const figure = new Figure(element);
        drawn.push(figure);
        await figure.draw();
      } catch (error) {
        countError();
        console.error(error);
      }
      await new Promise((resume) => setTimeout(resume, 0));
    }
    root.dataset.ready = 'true';
  })();
})();
