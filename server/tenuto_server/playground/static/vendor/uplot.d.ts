declare const Plot: { new (options: object, data: any, parent: HTMLElement): any; join(tables: any[]): any };
export default Plot;
